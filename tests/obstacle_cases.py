"""A small U-Net with something in the way of a capture, the remedy taken from a message, and the truth in float64."""

import re
from types import SimpleNamespace

import pytest
import torch

import attnscope
from attnscope.errors import CaptureError
from attnscope.testing.tiny_models import tiny_unet

BOTH = ("uncond", "cond")
MIDDLE = "mid_block.attentions.0.transformer_blocks.0"


def small_pipe(**changes):
    """What remedies call `pipe`: six blocks of attention."""
    shape = {
        "block_out_channels": (16, 32),
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    }
    return SimpleNamespace(unet=tiny_unet(**{**shape, **changes}))


def inputs(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        "sample": torch.randn(2, 4, 16, 16, generator=generator),
        "timestep": torch.tensor(3),
        "encoder_hidden_states": torch.randn(2, 9, 16, generator=generator),
    }


def call(model):
    with torch.no_grad():
        return model(**inputs())


def follow(message, **names):
    """Run the code that a message names."""
    code = re.search(r"`([^`]+)`", str(message))
    assert code, f"no code in {message}"
    exec(code[1], names)


def truths(unet, run):
    """The probability of every attention, by its path, from hooks on to_q and to_k in a run of its own."""
    unet = unet.get_base_model() if hasattr(unet, "get_base_model") else unet  # in PEFT's wrapper
    seen, handles = {}, []
    for path, module in unet.named_modules():
        if path.endswith((".to_q", ".to_k")):
            part = path.rsplit(".", 1)

            def note(module, args, output, part=part):
                seen.setdefault(part[0], {})[part[1]] = output.double()

            handles.append(module.register_forward_hook(note))
    run()
    for handle in handles:
        handle.remove()
    return {path: _probability(unet.get_submodule(path), **parts) for path, parts in seen.items()}


def _probability(attention, to_q, to_k):
    query, key = (tensor.unflatten(-1, (attention.heads, -1)).transpose(1, 2) for tensor in (to_q, to_k))
    return (query @ key.mT * attention.scale).softmax(-1)


def assert_right(trace, truth, tolerance=1e-5):
    assert len(trace.layers) == len(truth)
    for layer in trace.layers:
        found = trace.probabilities(block=layer.block, kind=layer.kind, step=0)
        expected = truth[layer.path].flatten(0, -3).reshape(found.shape).float()
        torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)


def refused(pipe, error=CaptureError):
    """The message of a capture that is refused."""
    with pytest.raises(error) as caught, attnscope.capture(pipe.unet, branches=BOTH):
        call(pipe.unet)
    return str(caught.value)


def assert_captured(pipe, run=None, tolerance=1e-5):
    """A capture sees every layer as it is, and the output stays bit for bit the same."""
    run = run or (lambda: call(pipe.unet))
    before = run()
    with attnscope.capture(pipe.unet, branches=BOTH) as trace:
        during = run()
    assert torch.equal(before.sample, during.sample)
    assert_right(trace, truths(pipe.unet, run), tolerance)
    return trace

"""The real topologies: every layer of SD v1 against diffusers, and all shapes on the meta device."""

import pytest
import torch

import attnscope
from attnscope.recording.tapping.tap import is_attention
from attnscope.testing.full_size import full_size_unet, inputs


@pytest.mark.parametrize(
    ("name", "size"),
    [("sd1", (512, 512)), ("sd2-base", (512, 512)), ("sd2", (768, 768)), ("sd2", (768, 512))],
)
def test_the_atlas_equals_what_a_capture_sees(name, size):
    unet = full_size_unet(name, device="meta")
    sample, timestep, text = inputs(unet, height=size[0] // 8, width=size[1] // 8, rows=2)
    with torch.no_grad(), attnscope.capture(unet, branches=("uncond", "cond")) as trace:
        unet(sample, timestep, text)
    assert trace.layers == attnscope.layers(name, size=size)
    assert len(trace.layers) == 32


class WorstError:
    """Compares, layer by layer as they run, diffusers' get_attention_scores on the layer's input."""

    def __init__(self, unet):
        self.expected = {}
        for path, module in unet.named_modules():
            if is_attention(module):
                module.register_forward_hook(self._after(path), with_kwargs=True)

    def _after(self, path):
        def keep(module, args, kwargs, output):
            context = kwargs.get("encoder_hidden_states")
            self.expected[path] = (module, args[0], args[0] if context is None else context)

        return keep

    def of(self, trace):
        for layer in trace.layers:
            module, hidden, context = self.expected.pop(layer.path)
            query = module.head_to_batch_dim(module.to_q(hidden))
            scores = module.get_attention_scores(query, module.head_to_batch_dim(module.to_k(context)))
            found = trace.probabilities(block=layer.block, kind=layer.kind).reshape(layer.probability)
            yield layer, float((found - scores).abs().max()), float(scores.amax(-1).mean() * layer.keys)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "changes"),
    [pytest.param("sd1", {}, marks=pytest.mark.thorough), ("sd2-base", {"upcast_attention": True})],
)
def test_all_32_layers_equal_diffusers_scores(name, changes):
    unet = full_size_unet(name, **changes)
    oracle = WorstError(unet)
    with torch.no_grad(), attnscope.capture(unet) as trace:
        unet(*inputs(unet, height=64, width=64))
    with torch.no_grad():
        errors = list(oracle.of(trace))
    assert len(errors) == 32
    for layer, error, sharpness in errors:
        assert error < 1e-6, f"{layer.id}: {error}"
        assert sharpness > 3, f"{layer.id}: the attention is too even to tell anything"
    print("worst error", max(error for _, error, _ in errors))

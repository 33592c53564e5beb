"""What a capture sees of one attention module is what the module computed."""

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0, SlicedAttnProcessor

import attnscope
from attnscope.errors import UnobservedError
from attnscope.recording.tapping.tap import is_attention
from attnscope.testing.tiny_models import tiny_unet
from capture_cases import leftovers, run, use
from written_processors import MeanFirst


class Oracle:
    """diffusers' own get_attention_scores on the input of every attention layer, computed beside."""

    def __init__(self, unet):
        self.scores = {}
        self.handles = [
            module.register_forward_hook(self._after(path), with_kwargs=True)
            for path, module in unet.named_modules()
            if is_attention(module)
        ]

    def _after(self, path):
        def compute(module, args, kwargs, output):
            hidden = args[0] if args else kwargs["hidden_states"]
            context = kwargs.get("encoder_hidden_states")
            query, key = module.to_q(hidden), module.to_k(hidden if context is None else context)
            heads = [module.head_to_batch_dim(tensor).double() for tensor in (query, key)]
            upcast, module.upcast_attention = (
                module.upcast_attention,
                False,
            )  # it would make float32 of float64
            self.scores[path] = type(module).get_attention_scores(module, *heads).float()
            module.upcast_attention = upcast

        return compute

    def remove(self):
        for handle in self.handles:
            handle.remove()


@pytest.mark.parametrize(
    "processor", [AttnProcessor2_0(), AttnProcessor(), SlicedAttnProcessor(3)], ids=lambda p: type(p).__name__
)
def test_probabilities_equal_diffusers_own_on_every_layer(pipe, seeded, processor):
    use(pipe, processor)
    oracle = Oracle(pipe.unet)
    with attnscope.capture(pipe) as trace:
        run(pipe, seeded, num_inference_steps=1)
    oracle.remove()
    for layer in trace.layers:
        found = trace.probabilities(block=layer.block, kind=layer.kind)
        expected = oracle.scores[layer.path]
        assert found.reshape(-1, *found.shape[-2:]).shape == expected.shape == layer.probability
        torch.testing.assert_close(found.reshape(expected.shape), expected, atol=1e-6, rtol=0)
        assert expected.amax(-1).mean() > 3 / layer.keys, "the test's attention is too even to tell anything"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_exact_within_its_rounding(dtype):
    unet = tiny_unet(upcast_attention=True).to(dtype)
    oracle = Oracle(unet)
    with attnscope.capture(unet) as trace, torch.no_grad():
        unet(torch.randn(1, 4, 16, 16).to(dtype), 10, encoder_hidden_states=torch.randn(1, 7, 16).to(dtype))
    oracle.remove()
    for layer in trace.layers:
        found = trace.probabilities(block=layer.block, kind=layer.kind).reshape(layer.probability)
        assert trace.record(block=layer.block, kind=layer.kind).query.dtype == dtype
        assert trace.record(block=layer.block, kind=layer.kind).upcast
        torch.testing.assert_close(found, oracle.scores[layer.path], atol=2e-6, rtol=0)


def test_value_is_recorded_on_request_for_every_processor(pipe, seeded):
    for processor in (AttnProcessor2_0(), AttnProcessor(), SlicedAttnProcessor(3), MeanFirst()):
        pipe.unet.set_attn_processor(processor)
        outputs = {}
        module = pipe.unet.get_submodule("down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0")
        handle = module.register_forward_pre_hook(
            lambda m, args, outputs=outputs: outputs.update(out=args[0])
        )
        with attnscope.capture(pipe, blocks=1, kind="self", value=True) as trace:
            run(pipe, seeded, num_inference_steps=1)
        handle.remove()
        record = trace.record(block=1, kind="self")
        mixed = trace.probabilities(block=1, kind="self", step=0).flatten(0, 1) @ record.value
        torch.testing.assert_close(mixed.transpose(1, 2).flatten(2), outputs["out"], atol=1e-5, rtol=1e-4)


def test_an_attention_mask_is_part_of_the_probability():
    unet = tiny_unet()
    mask = torch.ones(1, 9, dtype=torch.bool)
    mask[:, 5:] = False
    for processor in (AttnProcessor2_0(), AttnProcessor(), SlicedAttnProcessor(2)):
        unet.set_attn_processor(processor)
        with attnscope.capture(unet, kind="cross", blocks=1) as trace, torch.no_grad():
            text = torch.randn(1, 9, 16)
            unet(torch.randn(1, 4, 16, 16), 3, encoder_hidden_states=text, encoder_attention_mask=mask)
        shares = trace.probabilities(block=1, kind="cross")
        assert shares[..., 5:].max() < 1e-6
        assert shares[..., :5].sum(-1).allclose(torch.ones(1))


class Opaque:
    """A processor of one's own that uses neither of the two calls that can be seen."""

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, **kwargs):
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context)
        return attn.to_out[0]((q @ k.mT).softmax(-1) @ v)


def test_an_opaque_processor_is_named_with_the_call_that_helps(pipe, seeded):
    pipe.unet.set_attn_processor(Opaque())
    with pytest.raises(UnobservedError) as caught, attnscope.capture(pipe):
        run(pipe, seeded)
    message = str(caught.value)
    assert "block 1 self (down_blocks.0.attentions.0.transformer_blocks.0.attn1)" in message
    assert "processor Opaque" in message
    assert "set_attn_processor" in message
    assert leftovers(pipe) == []


def test_xformers_is_named_with_the_call_that_helps(pipe, seeded):
    class XFormersAttnProcessor(Opaque):
        pass

    pipe.unet.set_attn_processor(XFormersAttnProcessor())
    with (
        pytest.raises(UnobservedError, match="disable_xformers_memory_efficient_attention"),
        attnscope.capture(pipe),
    ):
        run(pipe, seeded)

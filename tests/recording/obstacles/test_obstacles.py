"""Every obstacle is named by its true cause, and the remedy in its message works when it is run as it stands."""

import sys
import types
from functools import partial

import pytest
import torch
from torch import nn

from attnscope.errors import UnobservedError
from obstacle_cases import MIDDLE, assert_captured, follow, refused, small_pipe


@pytest.fixture(autouse=True)
def _sdpa_is_put_back():
    own = nn.functional.scaled_dot_product_attention
    yield
    nn.functional.scaled_dot_product_attention = own


# Attention functions


def test_a_replaced_attention_function_is_named_with_its_file():
    pipe = small_pipe()

    def sageattn(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None):
        return (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1) @ v

    nn.functional.scaled_dot_product_attention = sageattn
    message = refused(pipe, UnobservedError)
    assert "scaled_dot_product_attention was replaced by" in message
    assert "sageattn" in message
    assert "test_obstacles.py" in message
    follow(message, pipe=pipe)
    assert_captured(pipe)


def test_a_compiled_attention_function_is_named_as_such():
    """A stand-in for what Inductor makes, which needs a C++ compiler: the mark, and code that no mode sees."""
    pipe, own = small_pipe(), nn.functional.scaled_dot_product_attention

    def compiled(q, k, v, **_):
        return (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1) @ v

    compiled._torchdynamo_orig_callable = own
    nn.functional.scaled_dot_product_attention = compiled
    message = refused(pipe, UnobservedError)
    assert "scaled_dot_product_attention is compiled (torch.compile)" in message
    follow(message, pipe=pipe)
    assert_captured(pipe)


def test_a_replaced_function_that_calls_the_original_is_seen():
    pipe, own = small_pipe(), nn.functional.scaled_dot_product_attention

    def timed(*args, **kwargs):
        return own(*args, **kwargs)

    nn.functional.scaled_dot_product_attention = timed
    assert_captured(pipe)


def qkv(attn, hidden_states, encoder_hidden_states):
    context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
    parts = (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
    return (part.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for part in parts)


def out(attn, hidden):
    return attn.to_out[0](hidden.transpose(1, 2).flatten(2))


class ByHand:
    """A processor with softmax written out, in a function of its own."""

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None):
        return out(attn, self.attend(*qkv(attn, hidden_states, encoder_hidden_states), attn.scale))

    def attend(self, q, k, v, scale):
        scores = torch.einsum("bhqd,bhkd->bhqk", q, k) * scale
        return torch.matmul(torch.softmax(scores, dim=-1), v)


class AModule(nn.Module):
    """A processor with weights, that is called as modules are."""

    def forward(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None):
        q, k, v = (part.flatten(0, 1) for part in qkv(attn, hidden_states, encoder_hidden_states))
        hidden = torch.bmm(torch.bmm(q * attn.scale, k.mT).softmax(-1), v)
        return out(attn, hidden.unflatten(0, (-1, attn.heads)))


def by_function(attn, hidden_states, encoder_hidden_states=None, attention_mask=None, extra=0):
    q, k, v = qkv(attn, hidden_states, encoder_hidden_states)
    scores = torch.baddbmm(q.new_zeros(1), q.flatten(0, 1), k.flatten(0, 1).mT, alpha=attn.scale)
    return out(attn, scores.softmax(-1).unflatten(0, q.shape[:2]) @ v)


class WithKernel:
    """A processor that calls a kernel of xformers, as its users write it."""

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None):
        import xformers.ops

        q, k, v = qkv(attn, hidden_states, encoder_hidden_states)
        return out(attn, xformers.ops.memory_efficient_attention(q, k, v))


def stand_in_for_xformers(monkeypatch):
    """xformers has no build for this torch: a module with its one function, that diffusers' own processor calls."""
    from diffusers.models import attention_processor

    def memory_efficient_attention(query, key, value, attn_bias=None, op=None, scale=None):
        return (query @ key.mT * query.shape[-1] ** -0.5).softmax(-1) @ value

    ops = types.ModuleType("xformers.ops")
    ops.memory_efficient_attention = memory_efficient_attention
    package = types.ModuleType("xformers")
    package.ops = ops
    monkeypatch.setitem(sys.modules, "xformers", package)
    monkeypatch.setitem(sys.modules, "xformers.ops", ops)
    monkeypatch.setattr(attention_processor, "xformers", package, raising=False)


def test_xformers_own_processor_is_named_and_switched_off(monkeypatch):
    from diffusers.models.attention_processor import XFormersAttnProcessor

    stand_in_for_xformers(monkeypatch)
    pipe = small_pipe()
    pipe.unet.set_attn_processor(XFormersAttnProcessor())
    message = refused(pipe, UnobservedError)
    assert "XFormersAttnProcessor" in message
    assert "disable_xformers_memory_efficient_attention" in message
    follow(message, pipe=pipe)
    assert_captured(pipe)


@pytest.mark.parametrize(
    ("processor", "cause"),
    [
        (WithKernel, "computes attention in xformers"),
        (ByHand, r"by hand (softmax, einsum, matmul)"),
        (AModule, r"by hand (softmax, bmm)"),
        (lambda: partial(by_function, extra=1), "by hand (softmax, baddbmm)"),
    ],
)
def test_a_processor_of_ones_own_is_named_with_its_file(monkeypatch, processor, cause):
    stand_in_for_xformers(monkeypatch)
    pipe = small_pipe()
    pipe.unet.set_attn_processor(processor())
    message = refused(pipe, UnobservedError)
    name = processor.__name__ if isinstance(processor, type) else "by_function"
    assert f"its processor {name} (" in message
    assert "test_obstacles.py:" in message
    assert cause in message
    follow(message, pipe=pipe)
    assert_captured(pipe)


def test_a_replaced_forward_is_named_with_its_function_and_file():
    """As prompt-to-prompt's register_attention_control does it."""
    pipe = small_pipe()

    def register(attention):
        def ca_forward(hidden_states, encoder_hidden_states=None, attention_mask=None):
            return ByHand()(attention, hidden_states, encoder_hidden_states)

        attention.forward = ca_forward

    for module in pipe.unet.modules():
        if hasattr(module, "heads"):
            register(module)
    message = refused(pipe, UnobservedError)
    assert "its forward was replaced by" in message
    assert "ca_forward" in message
    assert "test_obstacles.py:" in message
    follow(message, pipe=pipe)
    assert_captured(pipe)


def test_a_replaced_forward_that_calls_the_attention_function_is_seen():
    pipe = small_pipe()
    attention = pipe.unet.get_submodule(MIDDLE).attn1

    def forward(hidden_states, encoder_hidden_states=None, attention_mask=None):
        q, k, v = qkv(attention, hidden_states, encoder_hidden_states)
        return out(attention, nn.functional.scaled_dot_product_attention(q, k, v))

    attention.forward = forward
    assert_captured(pipe)


class Dispatched:
    """A processor that lets diffusers choose the kernel."""

    _attention_backend = None

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None):
        from diffusers.models.attention_dispatch import dispatch_attention_fn

        parts = (part.transpose(1, 2) for part in qkv(attn, hidden_states, encoder_hidden_states))
        return attn.to_out[0](dispatch_attention_fn(*parts, backend=self._attention_backend).flatten(2))


def test_diffusers_backends_are_named_or_seen():
    pipe = small_pipe()
    if not hasattr(pipe.unet, "set_attention_backend"):
        pytest.skip("this diffusers has no attention backends")
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry as registry

    before, flex = registry._active_backend, registry._backends["flex"]
    try:
        for backend in ("flex", "_native_math", "native"):  # a U-Net's own processors ask no backend
            pipe.unet.set_attention_backend(backend)
            assert_captured(pipe)
        pipe.unet.set_attn_processor(Dispatched())
        assert_captured(pipe)
        registry._backends["flex"] = lambda query, key, value, **_: (
            value.mean(1, True).expand_as(query).contiguous()
        )
        pipe.unet.set_attention_backend("flex")
        message = refused(pipe, UnobservedError)
        assert "attention backend 'flex'" in message
        follow(message, pipe=pipe)
        assert_captured(pipe)
    finally:
        registry._active_backend = before
        registry._backends["flex"] = flex

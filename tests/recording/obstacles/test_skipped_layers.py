"""Layers that did not run, or whose tokens were merged: what did it is named, and taken off by the remedy."""

import pytest
import torch
from torch import nn

import attnscope
from attnscope.errors import CaptureError
from attnscope.recording.obstacles.skipped import replaced_forward
from attnscope.recording.running.passes import IncompleteCaptureWarning
from attnscope.testing.transformers import tiny_flux
from capture_cases import run
from obstacle_cases import BOTH, MIDDLE, assert_captured, call, follow, small_pipe


def steps(unet, count=4):
    def run():
        for _ in range(count):
            result = call(unet)
        return result

    return run


def gaps(pipe, run):
    with (
        pytest.warns(IncompleteCaptureWarning) as caught,
        attnscope.capture(pipe.unet, branches=BOTH) as trace,
    ):
        run()
    return trace, " ".join(str(warning.message) for warning in caught)


def pyramid(pipe):
    from diffusers import PyramidAttentionBroadcastConfig
    from diffusers.hooks import apply_pyramid_attention_broadcast

    apply_pyramid_attention_broadcast(
        pipe.unet,
        PyramidAttentionBroadcastConfig(
            spatial_attention_block_skip_range=2,
            spatial_attention_timestep_skip_range=(-1, 1001),
            current_timestep_callback=lambda: 3,
        ),
    )


def taylor_seer(pipe):
    from diffusers import TaylorSeerCacheConfig
    from diffusers.hooks import apply_taylorseer_cache
    from diffusers.hooks.hooks import CacheContext, _set_cache_context

    config = TaylorSeerCacheConfig(
        cache_interval=2, disable_cache_before_step=1, cache_identifiers=[r".*attn1"]
    )
    apply_taylorseer_cache(pipe.unet, config)
    _set_cache_context(pipe.unet, CacheContext("both"))


def first_block(pipe):
    from diffusers import FirstBlockCacheConfig
    from diffusers.hooks import apply_first_block_cache
    from diffusers.hooks.hooks import CacheContext, _set_cache_context

    pipe.unet.mid_block.attentions[0].transformer_blocks.extend(
        small_pipe(transformer_layers_per_block=2).unet.mid_block.attentions[0].transformer_blocks
    )
    apply_first_block_cache(pipe.unet.mid_block.attentions[0], FirstBlockCacheConfig(threshold=100.0))
    _set_cache_context(pipe.unet, CacheContext("both"))


def layer_skip(pipe):
    from diffusers.hooks import LayerSkipConfig, apply_layer_skip

    apply_layer_skip(pipe.unet, LayerSkipConfig([0], fqn=MIDDLE.removesuffix(".0")))


def skipped_scores(pipe):
    from diffusers.hooks import LayerSkipConfig, apply_layer_skip

    only_scores = {"skip_attention": False, "skip_ff": False, "skip_attention_scores": True}
    apply_layer_skip(pipe.unet, LayerSkipConfig([0], fqn=MIDDLE.removesuffix(".0"), **only_scores))


HOOKS = [
    (pyramid, "Pyramid Attention Broadcast of diffusers (PyramidAttentionBroadcastHook)"),
    (taylor_seer, "TaylorSeer of diffusers (TaylorSeerCacheHook)"),
    (first_block, "First Block Cache of diffusers (FBC"),
    (layer_skip, "Layer skipping of diffusers (TransformerBlockSkipHook)"),
    (skipped_scores, "Layer skipping of diffusers (AttentionProcessorSkipHook)"),
]


@pytest.mark.parametrize(("hook", "cause"), HOOKS, ids=lambda case: getattr(case, "__name__", ""))
def test_hooks_that_answer_for_a_layer_are_named_and_taken_off(hook, cause):
    pipe = small_pipe()
    try:
        hook(pipe)
    except ImportError as error:
        pytest.skip(f"this diffusers lacks it: {error}")
    trace, said = gaps(pipe, steps(pipe.unet))
    assert "did not run, so the trace lacks them" in said
    assert cause.lower() in said.lower()
    assert "DeepCache" not in said
    assert len(trace.steps) == 4
    follow(said, pipe=pipe)
    for module in pipe.unet.modules():
        assert not getattr(getattr(module, "_diffusers_hook", None), "hooks", {})
    assert_captured(pipe)


class Skipping:
    """DeepCache's helper in small: it puts a function of its own package in place of forwards."""

    def __init__(self, unet):
        self.modules = [unet.mid_block]

    def enable(self):
        for module in self.modules:
            own, cache = module.forward, []

            def wrapped_forward(*args, own=own, cache=cache, **kwargs):
                if not cache:
                    cache.append(own(*args, **kwargs))
                return cache[0]

            wrapped_forward.__module__ = "DeepCache.extension.deepcache"
            module.forward = wrapped_forward

    def disable(self):
        for module in self.modules:
            del module.forward


def test_deepcache_is_named_where_it_is_there():
    """A stand-in with the package's name; the package itself is tried where it is installed."""
    pipe = small_pipe()
    helper = Skipping(pipe.unet)
    helper.enable()
    _, said = gaps(pipe, steps(pipe.unet))
    assert (
        "block 3 self in steps 1 to 3; block 3 cross in steps 1 to 3. DeepCache answers in its place" in said
    )
    follow(said, pipe=pipe, helper=helper)
    assert_captured(pipe)


def test_a_replaced_forward_above_a_layer_is_named():
    pipe = small_pipe()
    pipe.unet.get_submodule(MIDDLE).forward = lambda hidden_states, *args, **kwargs: hidden_states
    _, said = gaps(pipe, lambda: call(pipe.unet))
    assert f"The forward of {MIDDLE} was replaced by" in said
    assert "test_skipped_layers.py:" in said
    follow(said, pipe=pipe)
    assert_captured(pipe)


def test_layers_that_never_run_are_not_blamed_on_anything():
    pipe = small_pipe()
    extra = small_pipe().unet.get_submodule(MIDDLE)
    pipe.unet.mid_block.attentions[0].register_module("unused", nn.ModuleDict({"transformer_blocks": extra}))
    _, said = gaps(pipe, lambda: call(pipe.unet))
    assert "They never ran: the model, as it was called, does not use them" in said
    for blamed in ("DeepCache", "compiled", "hook", "replaced"):
        assert blamed not in said


def test_a_capture_of_nothing_but_skipped_layers_says_what_skips_them():
    pipe = small_pipe()
    pipe.unet.get_submodule(MIDDLE).forward = lambda hidden_states, *args, **kwargs: hidden_states
    with pytest.raises(
        CaptureError, match="none of the layers that were chosen ran. The forward of mid_block"
    ):
        with attnscope.capture(pipe.unet, branches=BOTH, blocks=3):
            call(pipe.unet)


def test_no_forward_of_diffusers_own_is_taken_for_a_replaced_one():
    pipe = small_pipe()
    assert {
        path for path, module in pipe.unet.named_modules() if replaced_forward(module) is not None
    } == set()


# Tokens merged


def test_merged_tokens_are_named_and_only_where_they_are_merged():
    """tomesd in small, a class of the block's own kind; the package itself is tried where it is installed."""
    pipe = small_pipe()
    blocks = [module for module in pipe.unet.modules() if type(module).__name__ == "BasicTransformerBlock"]
    asked = {"ratio": 0.5, "max_downsample": 1, "merge_attn": True, "merge_crossattn": False}
    for block in blocks:
        block.__class__ = type("ToMeBlock", (type(block),), {"_parent": type(block)})
        block._tome_info = {"args": asked}
    with pytest.raises(CaptureError, match=r"block 1 self .* ToMe \(tomesd\) merges tokens") as caught:
        attnscope.capture(pipe.unet, branches=BOTH)
    assert "tomesd.remove_patch(pipe)" in str(caught.value)
    assert "capture(..., kind='cross')" in str(caught.value)
    for right in ({"kind": "cross"}, {"blocks": 3}):
        attnscope.capture(pipe.unet, branches=BOTH, **right)
    asked["merge_crossattn"] = True
    with pytest.raises(CaptureError, match="before the cross-attention"):
        attnscope.capture(pipe.unet, branches=BOTH, kind="cross")
    asked["ratio"] = 0
    attnscope.capture(pipe.unet, branches=BOTH)


# The packages themselves, where they are installed


def test_tomesd_itself_is_named_and_taken_off(pipe, seeded):
    tomesd = pytest.importorskip("tomesd", reason="tomesd is not installed")
    tomesd.apply_patch(pipe, ratio=0.5)
    try:
        with pytest.raises(CaptureError, match=r"ToMe \(tomesd\) merges tokens") as caught:
            attnscope.capture(pipe)
        with attnscope.capture(pipe, kind="cross") as trace:
            run(pipe, seeded)
        assert len(trace.layers) == 16
        follow(caught.value, pipe=pipe)
        with attnscope.capture(pipe) as trace:
            run(pipe, seeded)
        assert len(trace.layers) == 32
    finally:
        tomesd.remove_patch(pipe)


def test_deepcache_itself_is_named_and_switched_off(pipe, seeded):
    helpers = pytest.importorskip("DeepCache", reason="DeepCache is not installed")
    helper = helpers.DeepCacheSDHelper(pipe=pipe)
    helper.set_params(cache_interval=2, cache_branch_id=0)
    helper.enable()
    with pytest.warns(
        IncompleteCaptureWarning, match="steps 1, 3.* DeepCache answers in its place"
    ) as caught:
        with attnscope.capture(pipe):
            run(pipe, seeded, num_inference_steps=4)
    follow(caught[0].message, helper=helper)
    with attnscope.capture(pipe) as trace:
        run(pipe, seeded, num_inference_steps=2)
    assert len(trace.layers) == 32


def test_cache_dit_itself_is_named_and_switched_off(tmp_path):
    cache_dit = pytest.importorskip("cache_dit", reason="cache-dit is not installed")
    pipe = tiny_flux(tmp_path)
    few = {"Fn_compute_blocks": 1, "Bn_compute_blocks": 0, "max_warmup_steps": 1}
    cache_dit.enable_cache(pipe, cache_config=cache_dit.DBCacheConfig(**few, residual_diff_threshold=10.0))
    call = {"num_inference_steps": 4, "output_type": "np"}
    plain = pipe("a cat", generator=torch.Generator().manual_seed(0), **call).images
    with pytest.warns(IncompleteCaptureWarning, match="Cache-dit answers in its place") as caught:
        with attnscope.capture(pipe) as trace:
            made = pipe("a cat", generator=torch.Generator().manual_seed(0), **call).images
    assert (made == plain).all()
    assert trace.branches == ("cond",)
    assert "steps 1 to 3" in str(caught[0].message)
    follow(caught[0].message, pipe=pipe, cache_dit=cache_dit)
    with attnscope.capture(pipe) as trace:
        pipe("a cat", **call)
    assert len(trace.layers) == 4

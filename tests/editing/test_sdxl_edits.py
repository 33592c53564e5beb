"""Stable Diffusion XL: two text encoders over the same keys, and sizes that its U-Net is told."""

import pytest
import torch

import attnscope
from attnscope import guidance
from capture_cases import PROMPT, leftovers
from edit_cases import Written
from photo_cases import sdxl

CAT, HOW = 3, {"num_inference_steps": 2, "output_type": "latent", "height": 128, "width": 128}


@pytest.fixture
def xl(pipe):
    made = sdxl(pipe)
    yield made
    assert leftovers(made) == []


def latents(xl, *edits, prompt=PROMPT, **options):
    options = {"generator": torch.Generator().manual_seed(0), **HOW, **options}
    if not edits:
        return xl(prompt, **options).images
    with attnscope.edit(xl, *edits):
        return xl(prompt, **options).images


def by_hand(xl, change):
    before = dict(xl.unet.attn_processors)

    def function(p):
        if p.shape[-1] == 77:
            change(p)
        return p

    xl.unet.set_attn_processor({name: Written(function) for name in before})
    made = latents(xl)
    xl.unet.set_attn_processor(before)
    return made


def test_a_word_counts_more(xl):
    def change(p):
        p[1][..., CAT] *= 5

    made, plain = latents(xl, attnscope.Reweight("cat", 5.0)), latents(xl)
    assert (made - by_hand(xl, change)).abs().max() < 5e-4
    assert (made - plain).abs().max() > 1e-2


def test_a_word_of_the_second_prompt_is_found(xl):
    options = {"prompt_2": "the grass and a cat"}
    by_word = latents(xl, attnscope.Reweight("grass", 5.0), **options)
    assert torch.equal(by_word, latents(xl, attnscope.Reweight(2, 5.0), **options))
    assert not torch.equal(by_word, latents(xl, **options))


def test_prompt_to_prompt_takes_the_sources_columns(xl):
    prompts = [PROMPT, "a red grass and the star"]
    how = {"self_steps": 0.0, "cross_steps": 1.0, "latents": torch.randn(1, 4, 16, 16)}
    made = attnscope.prompt_to_prompt(xl, prompts, **how, **HOW)
    with attnscope.capture(xl, kind="cross") as trace:
        attnscope.prompt_to_prompt(xl, prompts, **how, **HOW)
    source, target = (
        trace.probabilities(block=2, kind="cross", step=1, branch="cond", image=image) for image in (0, 1)
    )
    torch.testing.assert_close(source, target)
    blended = attnscope.prompt_to_prompt(xl, prompts, blend_words=["cat", "grass"], **how, **HOW)
    assert blended.images.shape == made.images.shape
    assert torch.equal(blended.images[0], made.images[0])


def test_guidance_has_the_gradient_that_xls_own_inputs_give(xl):
    """Against a call of the U-Net with what the pipeline itself hands over, P written out."""
    calls = []
    hook = xl.unet.register_forward_pre_hook(
        lambda module, args, kwargs: calls.append(kwargs), with_kwargs=True
    )
    latents(xl, guidance_scale=1.0, num_inference_steps=1)
    hook.remove()
    latent = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1))

    def loss(trace):
        return trace.probabilities(block=1, kind="cross", token=CAT, mean=("head", "query")).sum()

    value, gradient = guidance.loss_and_gradient(xl, loss, latent, torch.tensor(500), prompt=PROMPT)
    seen, before = latent.clone().requires_grad_(True), dict(xl.unet.attn_processors)
    maps = []
    name = next(name for name in before if name.endswith("attn2.processor"))
    xl.unet.set_attn_processor(
        {one: Written((lambda p: maps.append(p) or p) if one == name else None) for one in before}
    )
    told = {key: calls[0][key] for key in ("encoder_hidden_states", "added_cond_kwargs")}
    xl.unet(seen, 500, **told)
    xl.unet.set_attn_processor(before)
    expected = maps[0][..., CAT].mean()
    (by_hand_,) = torch.autograd.grad(expected, [seen])
    assert float(value) == pytest.approx(float(expected.detach()), abs=1e-6)
    assert (gradient - by_hand_).abs().max() < 1e-3 * by_hand_.abs().max()

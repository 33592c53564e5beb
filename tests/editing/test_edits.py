"""Each edit gives what its few lines of arithmetic give in a processor that materialises P."""

import numpy as np
import pytest
import torch
from PIL import Image

import attnscope
from attnscope import Ablate, Custom, Freeze, Region, Replace, Reweight, Temperature
from attnscope.errors import EditError
from capture_cases import PROMPT, leftovers, run
from edit_cases import layers_of, written

CAT, STAR = 3, 6
COND = 1
"""Number of the prompt's row; the other one is the negative prompt's."""
SELF, CROSS = "attn1.processor", "attn2.processor"
OTHER = "the grass and a star"


def latents(pipe, seeded, prompt=PROMPT, **options):
    return run(pipe, seeded, prompt, output_type="latent", **options)


def edited(pipe, seeded, *edits, prompt=PROMPT, **options):
    with attnscope.edit(pipe, *edits):
        return latents(pipe, seeded, prompt, **options)


@pytest.fixture(autouse=True)
def nothing_is_left(pipe):
    yield
    assert leftovers(pipe) == []


def oracle(pipe, seeded, function, chosen, prompt=PROMPT, **options):
    before = dict(pipe.unet.attn_processors)
    written(pipe, function, chosen)
    try:
        return latents(pipe, seeded, prompt, **options)
    finally:
        pipe.unet.set_attn_processor(before)


def in_place(change, rows=(COND,)):
    """A function of P that changes some rows, (head, query, key), in place."""

    def function(p):
        for row in rows:
            change(p[row])
        return p

    return function


def scaled(factor, *tokens):
    def change(p):
        p[..., list(tokens)] *= factor

    return change


def renormalised(factor, token):
    def change(p):
        p[..., token] *= factor
        p /= p.sum(-1, keepdim=True)

    return change


def in_upper_half(p):
    p[:, p.shape[1] // 2 :, CAT] = 0
    p /= p.sum(-1, keepdim=True)


def to_mean(p):
    p[:] = p.mean(1, keepdim=True)


def word_to_mean(p):
    p[..., CAT] = p[..., CAT].mean(1, keepdim=True)


def to_uniform(p):
    p[:] = 1 / p.shape[-1]


def head_to_zero(p):
    p[1] = 0


def sharper(p):
    p[:] = torch.softmax(p.log() / 0.5, -1)


EVERY = (0, 1)
EDITS = {
    "a word more": (Reweight("cat", 4.0), CROSS, in_place(scaled(4, CAT))),
    "a word away from": (Reweight("cat", -2.0), CROSS, in_place(scaled(-2, CAT))),
    "words": (Reweight(["cat", "star"], 3.0), CROSS, in_place(scaled(3, CAT, STAR))),
    "a number": (Reweight(CAT, 3.0), CROSS, in_place(scaled(3, CAT))),
    "a word, renormalised": (Reweight("cat", 4.0, renormalise=True), CROSS, in_place(renormalised(4, CAT))),
    "no word": (Ablate("cat"), CROSS, in_place(scaled(0, CAT))),
    "a word everywhere alike": (Ablate("cat", to="mean"), CROSS, in_place(word_to_mean)),
    "a word's even share": (
        Ablate("cat", to="uniform"),
        CROSS,
        in_place(lambda p: p[..., CAT].fill_(1 / 77)),
    ),
    "no head": (Ablate(head=1), SELF + CROSS, in_place(head_to_zero, EVERY)),
    "self-attention to its mean": (Ablate(kind="self", to="mean"), SELF, in_place(to_mean, EVERY)),
    "self-attention everywhere alike": (Ablate(kind="self", to="uniform"), SELF, in_place(to_uniform, EVERY)),
    "a word in a half": (Region("cat", (0, 0, 0.5, 1)), CROSS, in_place(in_upper_half)),
    "a word away from a half": (Region("cat", (0.5, 0, 1, 1), only=False), CROSS, in_place(in_upper_half)),
    "sharper": (Temperature(0.5, kind="cross"), CROSS, in_place(sharper, EVERY)),
    "sharper for the prompt": (Temperature(0.5, kind="self", branch="cond"), SELF, in_place(sharper)),
    "written": (
        Custom(lambda p: p.flip(1), kind="self"),
        SELF,
        in_place(lambda p: p.copy_(p.flip(1)), EVERY),
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_is_its_arithmetic(pipe, seeded, name):
    edit, where, function = EDITS[name]
    chosen = {layer for ending in (SELF, CROSS) if ending in where for layer in layers_of(pipe, ending)}
    made, expected = edited(pipe, seeded, edit), oracle(pipe, seeded, function, chosen)
    moved = (expected - latents(pipe, seeded)).abs().max()
    assert (made - expected).abs().max() < 2e-4 * max(1, moved)
    assert moved > 1e-3


@pytest.mark.parametrize(
    "edit",
    [
        Reweight("cat", 1.0),
        Temperature(1.0),
        Custom(lambda p: p),
        Replace(0, image=0),
        Region("cat", (0, 0, 1, 1)),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::attnscope.editing.UnusedEditWarning")
def test_an_edit_that_changes_nothing_leaves_the_picture_within_rounding(pipe, seeded, edit):
    assert (edited(pipe, seeded, edit) - latents(pipe, seeded)).abs().max() < 2e-4


def test_what_is_not_edited_is_the_same_bit_for_bit(pipe, seeded):
    """Before the first edited layer of the first step nothing is another number; rows of other branches neither."""
    seen = {"plain": [], "edited": []}
    first = pipe.unet.down_blocks[0].attentions[0]

    def note(into):
        return first.register_forward_hook(lambda module, args, output: seen[into].append(output[0].clone()))

    for into, edits in (("plain", []), ("edited", [Reweight("cat", 4.0, block=7)])):
        hook = note(into)
        if edits:
            edited(pipe, seeded, *edits)
        else:
            latents(pipe, seeded)
        hook.remove()
    assert torch.equal(seen["plain"][0], seen["edited"][0])
    assert not torch.equal(seen["plain"][1], seen["edited"][1])


@pytest.mark.parametrize("head", [0, 1])
def test_heads_and_rows_that_keep_their_attention_have_their_own_numbers(pipe, seeded, head):
    """The product of one head is changed; every other number of the layer's result is that of the fused attention."""
    results = []
    attention = pipe.unet.down_blocks[0].attentions[0].transformer_blocks[0].attn2
    hook = attention.to_out[0].register_forward_pre_hook(lambda module, args: results.append(args[0].clone()))
    latents(pipe, seeded, num_inference_steps=1)
    edited(pipe, seeded, Ablate(block=1, kind="cross", head=head, branch="cond"), num_inference_steps=1)
    hook.remove()
    plain, changed = (result.unflatten(-1, (attention.heads, -1)) for result in (results[0], results[-1]))
    assert torch.equal(plain[0], changed[0])
    others = [other for other in range(attention.heads) if other != head]
    assert torch.equal(plain[1][:, others], changed[1][:, others])
    assert (changed[1][:, head] == 0).all()


# Choices


def test_steps_are_chosen(pipe, seeded):
    only_last = edited(pipe, seeded, Reweight("cat", 5.0, steps=-1), num_inference_steps=3)
    assert torch.equal(
        only_last, edited(pipe, seeded, Reweight("cat", 5.0, steps=slice(2, None)), num_inference_steps=3)
    )
    assert not torch.equal(only_last, edited(pipe, seeded, Reweight("cat", 5.0), num_inference_steps=3))


def test_images_of_a_batch_have_their_own_words(pipe, seeded):
    """'cat' stands in the first prompt alone: the second picture is the same to the bit."""
    plain = latents(pipe, seeded, [PROMPT, OTHER])
    made = edited(pipe, seeded, Reweight("cat", 4.0), prompt=[PROMPT, OTHER])
    assert torch.equal(plain[1], made[1])
    assert not torch.equal(plain[0], made[0])
    star = edited(pipe, seeded, Reweight("star", 4.0, image=1), prompt=[PROMPT, OTHER])
    assert torch.equal(plain[0], star[0])


def test_a_word_of_the_negative_prompt(pipe, seeded):
    options = {"negative_prompt": "the grass"}
    edit = Reweight("grass", 4.0, branch="uncond")
    made = edited(pipe, seeded, edit, **options)
    expected = oracle(pipe, seeded, in_place(scaled(4, 2), rows=(0,)), layers_of(pipe, CROSS), **options)
    assert (made - expected).abs().max() < 2e-4


def test_edits_come_one_after_the_other(pipe, seeded):
    both = edited(pipe, seeded, Reweight("cat", 4.0), Temperature(0.5, kind="cross", branch="cond"))
    function = in_place(
        lambda p: (scaled(4, CAT)(p), p.copy_(p**2 / (p**2).sum(-1, keepdim=True) * p.sum(-1, keepdim=True)))
    )
    expected = oracle(pipe, seeded, function, layers_of(pipe, CROSS))
    assert (both - expected).abs().max() < 2e-4
    with attnscope.edit(pipe, Reweight("cat", 4.0)):
        nested = edited_inside(pipe, seeded)
    assert torch.equal(both, nested)


def edited_inside(pipe, seeded):
    with attnscope.edit(pipe, Temperature(0.5, kind="cross", branch="cond")):
        return latents(pipe, seeded)


def test_masks_are_arrays_tensors_and_pictures(pipe, seeded):
    mask = np.zeros((128, 128), bool)
    mask[:64] = True
    picture = Image.fromarray(mask.astype(np.uint8) * 255)
    alike = (mask, torch.from_numpy(mask), picture, mask[::2, ::2], (0, 0, 0.5, 1))
    made = [edited(pipe, seeded, Region("cat", where)) for where in alike]
    assert all(torch.equal(made[0], other) for other in made)


# Attention from elsewhere


def test_attention_of_another_picture(pipe, seeded):
    prompts = [PROMPT, "a red grass and the star"]

    def function(p):
        p[3] = p[2]  # rows: two negative prompts, then the prompts
        return p

    made = edited(pipe, seeded, Replace(0, image=1, branch="cond"), prompt=prompts)
    expected = oracle(pipe, seeded, function, layers_of(pipe, SELF) | layers_of(pipe, CROSS), prompt=prompts)
    assert (made - expected).abs().max() < 2e-4


def test_columns_of_another_picture(pipe, seeded):
    prompts = [PROMPT, "a star and the cat"]

    def function(p):
        p[3][..., 2] = p[2][..., STAR]
        return p

    made = edited(pipe, seeded, Replace(0, words="star", image=1), prompt=prompts)
    expected = oracle(pipe, seeded, function, layers_of(pipe, CROSS), prompt=prompts)
    assert (made - expected).abs().max() < 2e-4


@pytest.mark.parametrize("on_disk", [False, True])
def test_self_attention_of_a_trace(pipe, seeded, tmp_path, on_disk):
    """A run that has its own attention back is the same; another prompt's run has that of the trace."""
    with attnscope.capture(pipe) as trace:
        plain = latents(pipe, seeded)
    if on_disk:
        trace = attnscope.load_trace(trace.save(tmp_path / "trace"))
    assert (edited(pipe, seeded, Freeze(trace)) - plain).abs().max() < 2e-4
    with attnscope.edit(pipe, Freeze(trace)), attnscope.capture(pipe, kind="self") as other:
        latents(pipe, seeded, OTHER)
    used = other.probabilities(block=3, kind="self", step=1)
    torch.testing.assert_close(used, trace.probabilities(block=3, kind="self", step=1), atol=1e-6, rtol=0)


def test_a_trace_of_another_run_is_refused_where_it_does_not_fit(pipe, seeded):
    with attnscope.capture(pipe, kind="self", blocks=[1, 2]) as trace:
        latents(pipe, seeded, num_inference_steps=2)
    with pytest.raises(EditError, match="no block 3 self in step 0: capture that layer"):
        edited(pipe, seeded, Freeze(trace))
    with pytest.raises(EditError, match="of step 2: capture it with as many steps"):
        edited(pipe, seeded, Freeze(trace, block=[1, 2]), num_inference_steps=3)
    with pytest.raises(EditError, match="both runs need the same size"):
        edited(pipe, seeded, Freeze(trace, block=[1, 2]), height=64, width=64)


def test_a_trace_without_the_branch_is_refused_and_choosing_helps(pipe, seeded):
    with attnscope.capture(pipe, kind="self", branch="cond") as trace:
        plain = latents(pipe, seeded)
    with pytest.raises(EditError, match="for the branch 'uncond': capture it, or choose branch="):
        edited(pipe, seeded, Freeze(trace))
    assert (edited(pipe, seeded, Freeze(trace, branch="cond")) - plain).abs().max() < 2e-4


def test_a_function_may_look_at_where_it_is(pipe, seeded):
    seen = []

    def function(p, site):
        seen.append((site.layer.block, site.call.step))
        return p

    edited(pipe, seeded, Custom(function, kind="cross", block=2, branch="cond"))
    assert seen == [(2, 0), (2, 1)]


def test_perturbed_rows_attend_to_nothing_and_stay_so(pipe, seeded):
    """PAG's layers compute attention for the other rows alone; a word of the prompt counts in both that read it."""
    from diffusers import StableDiffusionPAGPipeline

    processors = dict(pipe.unet.attn_processors)
    perturbed = StableDiffusionPAGPipeline(**pipe.components, pag_applied_layers="mid")
    perturbed.set_progress_bar_config(disable=True)
    how = {"pag_scale": 3.0, "guidance_scale": 7.5}
    plain = latents(perturbed, seeded, **how)
    with attnscope.edit(perturbed, Custom(lambda p: p)):
        assert (latents(perturbed, seeded, **how) - plain).abs().max() < 5e-4
    with attnscope.edit(perturbed, Reweight("cat", 4.0)), attnscope.capture(perturbed, kind="cross") as trace:
        latents(perturbed, seeded, **how)
    for branch, factor in (("uncond", 1), ("cond", 4), ("perturbed", 4)):
        asked = {"block": 1, "kind": "cross", "step": 0, "branch": branch}
        used, before = (trace.probabilities(**asked, before_edits=yes)[..., CAT] for yes in (False, True))
        torch.testing.assert_close(used, factor * before)
    pipe.unet.set_attn_processor(processors)

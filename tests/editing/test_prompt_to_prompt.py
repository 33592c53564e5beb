"""Prompt-to-prompt: the tables by hand, and the pictures by a processor that follows the paper line by line."""

import pytest
import torch
import torch.nn.functional as F

import attnscope
from attnscope.editing.alignment import refined, replaced
from attnscope.errors import ModelError, ParameterError, WordError
from capture_cases import leftovers
from edit_cases import Written

SOURCE = "a red cat and the star"
KEYS = 77


@pytest.fixture(autouse=True)
def nothing_is_left(pipe):
    yield
    assert leftovers(pipe) == []


# Tables


def test_a_word_swapped_for_another_looks_where_it_did(pipe):
    assert torch.equal(replaced(pipe.tokenizer, SOURCE, "a red grass and the star").table, torch.eye(KEYS))


def test_a_word_of_more_tokens_shares(pipe):
    """'sunny' has several tokens in the tiny vocabulary: each takes its share of the old word."""
    target = "a red grey and the star"
    count = len(pipe.tokenizer(target).input_ids) - len(pipe.tokenizer(SOURCE).input_ids) + 1
    assert count > 1
    table = replaced(pipe.tokenizer, SOURCE, target).table
    expected = torch.zeros(KEYS, KEYS)
    expected[range(3), range(3)] = 1
    expected[3, 3 : 3 + count] = 1 / count
    rest = range(3 + count, KEYS)
    expected[rest, rest] = 1
    assert torch.equal(table, expected)
    back = replaced(pipe.tokenizer, target, SOURCE).table
    assert torch.equal(back[3 : 3 + count, 3], torch.ones(count))
    assert torch.equal(back[:, 4 : KEYS - count + 1], torch.eye(KEYS)[:, 4 : KEYS - count + 1])


def test_new_words_keep_their_own_columns(pipe):
    alignment = refined(pipe.tokenizer, SOURCE, "a red red cat and star")
    taken = {new: int(alignment.table[:, new].argmax()) for new in range(8) if alignment.share[new]}
    assert taken == {0: 0, 1: 1, 2: 2, 4: 3, 5: 4, 6: 6, 7: 7}  # of two alike the first is the old one
    assert alignment.share[3] == 0
    assert alignment.share.sum() == KEYS - 1
    assert torch.equal(alignment.table[:, 8:], torch.eye(KEYS)[:, 8:])


def test_replace_needs_as_many_words(pipe):
    with pytest.raises(ParameterError, match="has 6 and 'a cat' 2: use edit='refine'"):
        replaced(pipe.tokenizer, SOURCE, "a cat")


# Pictures


class Paper:
    """What the paper does with P, step by step; the source is row 2 of a batch of four, the target row 3."""

    def __init__(self, table, share, factors, cross, own):
        self.table, self.share, self.factors = table, share, factors
        self.cross, self.own, self.layers, self.calls = cross, own, 0, 0

    def __call__(self, p):
        step = self.calls // self.layers
        self.calls += 1
        if p.shape[-1] == KEYS:
            if step in self.cross:
                base, new = p[2] @ self.table.double(), p[3]
                p[3] = (base * self.share + new * (1 - self.share)) * self.factors
        elif step in self.own and p.shape[-2] <= 256:
            p[3] = p[2]
        return p


def by_the_paper(pipe, prompts, alignment, factors, cross, own, steps=4):
    paper = Paper(alignment.table, alignment.share.double(), factors, cross, own)
    paper.layers = len(pipe.unet.attn_processors)
    before = dict(pipe.unet.attn_processors)
    pipe.unet.set_attn_processor({name: Written(paper) for name in before})
    try:
        noise = noise_of(pipe).expand(2, -1, -1, -1).clone()
        return pipe(prompts, num_inference_steps=steps, latents=noise, output_type="latent").images
    finally:
        pipe.unet.set_attn_processor(before)


def noise_of(pipe):
    side = pipe.unet.config.sample_size
    return torch.randn(1, 4, side, side, generator=torch.Generator().manual_seed(5))


SWAPPED, LONGER, SAME = [SOURCE, "a red grass and the star"], [SOURCE, "a red red cat and star"], [SOURCE] * 2
CASES = {
    # prompts, edit, weights, shares of cross- and self-attention, and the steps that they come to by hand, of four
    "replace": (SWAPPED, "replace", {}, 0.8, 0.5, range(4), range(2)),
    "a window": (SWAPPED, "replace", {}, (0.2, 0.8), (0.25, 1.0), range(1, 4), range(1, 4)),
    "refine": (LONGER, "refine", {}, 0.5, 0.5, range(2), range(2)),
    "reweight": (SAME, "reweight", {"cat": 4.0}, 1.0, 0.0, range(5), range(0)),
    "away": (SAME, "reweight", {"cat": -2.0}, 0.6, 0.4, range(3), range(1)),
    "refined and weighted": (LONGER, "refine", {"cat": 3.0}, 0.8, 0.5, range(4), range(2)),
}


@pytest.mark.parametrize("name", CASES)
def test_pictures_are_those_of_the_paper(pipe, name):
    prompts, edit, weights, cross_steps, self_steps, cross, own = CASES[name]
    make = {"replace": replaced, "refine": refined}.get(edit)
    alignment = make(pipe.tokenizer, *prompts) if make else replaced(pipe.tokenizer, *prompts)
    factors = torch.ones(KEYS, dtype=torch.float64)
    at = prompts[1].split().index("cat") + 1 if weights else 0
    if weights:
        factors[at] = weights["cat"]
    expected = by_the_paper(pipe, prompts, alignment, factors, cross, own)
    made = attnscope.prompt_to_prompt(
        pipe, prompts, edit, weights=weights, latents=noise_of(pipe), num_inference_steps=4,
        output_type="latent", cross_steps=cross_steps, self_steps=self_steps,
    ).images  # fmt: skip
    plain = pipe(
        prompts,
        num_inference_steps=4,
        latents=noise_of(pipe).expand(2, -1, -1, -1).clone(),
        output_type="latent",
    ).images
    assert (made - expected).abs().max() < 5e-4
    assert (made[1] - plain[1]).abs().max() > 1e-2
    assert torch.allclose(made[0], plain[0], atol=5e-4)


def test_a_word_has_steps_of_its_own(pipe):
    """As two windows by hand: all but 'grass' for all steps, 'grass' for the first two of four."""
    prompts = [SOURCE, "a red grass and the star"]
    made = attnscope.prompt_to_prompt(
        pipe, prompts, cross_steps={"default": 1.0, "grass": (0.0, 0.4)}, self_steps=0.0, latents=noise_of(pipe),
        num_inference_steps=4, output_type="latent",
    ).images  # fmt: skip
    grass = torch.zeros(KEYS)
    grass[3] = 1
    table = torch.eye(KEYS)
    with attnscope.edit(
        pipe,
        attnscope.Replace(0, mapping=table, share=1 - grass, image=1, branch="cond"),
        attnscope.Replace(0, mapping=table, share=grass, image=1, branch="cond", steps=range(2)),
    ):
        noise = noise_of(pipe).expand(2, -1, -1, -1).clone()
        expected = pipe(prompts, num_inference_steps=4, latents=noise, output_type="latent").images
    assert torch.equal(made, expected)


def test_a_blend_keeps_the_source_where_no_word_looks(pipe):
    """The mask by hand: maps of the grid nearest to 16x16 without the middle, 3x3 places, over 0.3 of the largest."""
    prompts, noise = [SOURCE, "a red grass and the star"], noise_of(pipe)
    how = {
        "num_inference_steps": 3,
        "latents": noise,
        "output_type": "latent",
        "cross_steps": 0.5,
        "self_steps": 0.0,
    }
    blended = attnscope.prompt_to_prompt(pipe, prompts, blend_words=["cat", "grass"], keep_steps=True, **how)
    assert len(blended.steps) == 3
    assert torch.equal(blended.steps[-1], blended.images)
    one = attnscope.prompt_to_prompt(pipe, prompts, keep_steps=True, **how | {"num_inference_steps": 3})
    with attnscope.edit(
        pipe, attnscope.Replace(0, mapping=torch.eye(KEYS), image=1, branch="cond", steps=range(2))
    ), attnscope.capture(pipe, kind="cross") as trace:  # fmt: skip
        pipe(
            prompts, num_inference_steps=3, latents=noise.expand(2, -1, -1, -1).clone(), output_type="latent"
        )
    layers = [layer for layer in trace.layers if layer.stage != "mid"]
    near = min(layers, key=lambda layer: abs(torch.tensor(layer.grid.places / 256).log())).grid
    masks = []
    for image in range(2):
        maps = [
            trace.probabilities(layer=layer, step=0, branch="cond", image=image, token=3, mean="head")
            for layer in layers
            if layer.grid == near
        ]
        map_ = torch.stack(maps).mean(0).reshape(1, 1, *near)
        larger = F.interpolate(F.max_pool2d(map_, 3, 1, 1), size=noise.shape[-2:])[0, 0]
        masks.append(larger > 0.3 * larger.max())
    inside = masks[0] | masks[1]
    first, plain = blended.steps[0], one.steps[0]
    assert torch.equal(first[0], plain[0])
    torch.testing.assert_close(first[1], torch.where(inside, plain[1], plain[0]))


# Calls


def test_one_noise_from_a_seed_or_a_generator(pipe):
    prompts = [SOURCE, SOURCE]
    how = {"num_inference_steps": 2, "output_type": "latent"}
    one = attnscope.prompt_to_prompt(pipe, prompts, "reweight", generator=3, **how).images
    other = attnscope.prompt_to_prompt(
        pipe, prompts, "reweight", generator=torch.Generator().manual_seed(3), **how
    ).images
    assert torch.equal(one, other)
    assert torch.allclose(one[0], one[1], atol=1e-4)
    assert len(attnscope.prompt_to_prompt(pipe, prompts, "reweight", num_inference_steps=1).images) == 2


@pytest.mark.parametrize(
    ("prompts", "options", "error", "says"),
    [
        (SOURCE, {}, ParameterError, "expected a list"),
        ([SOURCE], {}, ParameterError, "at least one target"),
        ([SOURCE, "a cat"], {}, ParameterError, "use edit='refine'"),
        ([SOURCE, SOURCE], {"edit": "swap"}, ParameterError, "expected one of"),
        ([SOURCE, SOURCE], {"cross_steps": 1.5}, ParameterError, "expected a share"),
        ([SOURCE, SOURCE], {"weights": {"dog": 2.0}}, WordError, "no word 'dog'"),
        ([SOURCE, SOURCE], {"cross_steps": {"dog": 0.5}}, WordError, "no word 'dog'"),
        ([SOURCE, SOURCE], {"blend_words": "cat"}, ParameterError, "for each of the 2 prompts"),
        ([SOURCE, SOURCE], {"blend_words": ["cat", "dog"]}, WordError, "no word 'dog'"),
        (
            [SOURCE, SOURCE],
            {"latents": torch.zeros(3, 4, 16, 16)},
            ParameterError,
            "expected the noise of one picture",
        ),
        ([SOURCE, SOURCE], {"generator": [torch.Generator()] * 2}, ParameterError, "or a seed"),
        ([SOURCE, SOURCE], {"num_images_per_prompt": 2}, ParameterError, "one picture"),
    ],
)
def test_a_call_that_makes_no_sense(pipe, prompts, options, error, says):
    with pytest.raises(error, match=says):
        attnscope.prompt_to_prompt(pipe, prompts, num_inference_steps=1, **options)


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # diffusers' scheduler and numpy 2
def test_noise_that_a_scheduler_adds_is_the_same_for_all_prompts(pipe):
    from diffusers import EulerAncestralDiscreteScheduler

    before = pipe.scheduler
    pipe.scheduler = EulerAncestralDiscreteScheduler.from_config(before.config)
    made = attnscope.prompt_to_prompt(
        pipe, [SOURCE, SOURCE], "reweight", latents=noise_of(pipe), generator=1, num_inference_steps=2,
        output_type="latent",
    ).images  # fmt: skip
    pipe.scheduler = before
    assert torch.allclose(made[0], made[1], atol=1e-3)


def test_a_transformer_is_refused(tmp_path):
    transformers = pytest.importorskip("attnscope.testing.transformers")
    try:
        flux = transformers.tiny_flux(tmp_path)
    except Exception as error:
        pytest.skip(str(error))
    with pytest.raises(ModelError, match="needs a U-Net"):
        attnscope.prompt_to_prompt(flux, [SOURCE, SOURCE], num_inference_steps=1)

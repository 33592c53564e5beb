"""Rows have the right names in every kind of pipeline, as their guidance uses them.

The truth is arithmetic: what is added to one row of the U-Net's output comes out of guidance multiplied by that row's
weight, such as 1 - 7.5 for the unconditional row and 7.5 for the conditional one, in the image that the row is of.
"""

from collections import Counter

import diffusers
import pytest
import torch
from diffusers import DDIMPipeline, DDPMScheduler, StableDiffusionPipeline, UNet2DModel

import attnscope
from attnscope.errors import CaptureError
from attnscope.recording.calling.known_rows import _SPECIAL, _USUAL
from capture_cases import leftovers
from pipeline_zoo import (
    MASK,
    PHOTO,
    OwnGuidance,
    edited,
    instructed,
    inverting,
    latent_diffusion,
    made,
    of_same_parts,
    painting,
    variation,
)

PROMPT, NEGATIVE = "a red cat", "grass"
ADDED = 0.01
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),  # diffusers' own
    pytest.mark.filterwarnings("ignore:Safety checker disabled", "ignore:invalid value encountered in cast"),
]


class _Enough(Exception):
    """The scheduler was asked for a step."""


def prediction(pipe, call, row):
    """What guidance makes of the U-Net's first output, with something added to one of its rows."""

    def add(module, args, output):
        sample = output[0] if isinstance(output, tuple) else output.sample
        if row is not None:
            sample[row] += ADDED

    def stop(model_output, *args, **kwargs):
        seen.append(model_output.clone())
        raise _Enough

    seen, step = [], pipe.scheduler.step
    handle = pipe.unet.register_forward_hook(add)
    pipe.scheduler.step = stop
    try:
        with torch.no_grad(), pytest.raises(_Enough):
            call(pipe)
    finally:
        handle.remove()
        pipe.scheduler.step = step
    return seen[0]


def check(pipe, call, expected):
    """`expected` has the weight of each branch. Every row has that weight in its own image, and none in the others."""
    with attnscope.capture(pipe, blocks=1, kind="cross") as trace:
        call(pipe)
    first, nothing_added = trace.passes[0], prediction(pipe, call, None)
    assert set(first.branches) == set(expected)
    for number, row in enumerate(first.calls[0].rows):
        difference = (prediction(pipe, call, number) - nothing_added) / ADDED
        weights = [float(of_image.mean()) for of_image in difference]
        right = [expected[row.branch] if image == row.image else 0.0 for image in range(first.images)]
        assert weights == pytest.approx(right, abs=0.05), (number, row)
    assert not leftovers(pipe)


def call_with(seeded, **options):
    settings = {"num_inference_steps": 2, "output_type": "np", **options}
    return lambda pipe: pipe(**settings, generator=seeded())


GUIDED = {"uncond": -4.0, "cond": 5.0}
PLAIN = {"cond": 1.0}
WORDS = {"prompt": PROMPT, "negative_prompt": NEGATIVE}
TWO = {"prompt": [PROMPT, "the star"], "negative_prompt": [NEGATIVE, "on"]}
VARIED = {"image": PHOTO, "height": 128, "width": 128}
PAINTED = {"example_image": PHOTO, "image": PHOTO, "mask_image": MASK}
PAG = of_same_parts("StableDiffusionPAGPipeline")
PAG_IMG2IMG = of_same_parts("StableDiffusionPAGImg2ImgPipeline")
SAFE = of_same_parts("StableDiffusionPipelineSafe")
SEMANTIC = of_same_parts("SemanticStableDiffusionPipeline")
PANORAMA = of_same_parts("StableDiffusionPanoramaPipeline")


@pytest.mark.parametrize(
    ("build", "options", "expected"),
    [
        (variation, VARIED | {"guidance_scale": 5.0}, GUIDED),
        (variation, VARIED | {"guidance_scale": 1.0}, PLAIN),
        (variation, VARIED | {"guidance_scale": 5.0, "num_images_per_prompt": 2}, GUIDED),
        (painting, PAINTED | {"guidance_scale": 5.0}, GUIDED),
        (painting, PAINTED | {"guidance_scale": 1.0}, PLAIN),
        (latent_diffusion, {"prompt": PROMPT, "guidance_scale": 5.0}, GUIDED),
        (latent_diffusion, {"prompt": [PROMPT, "the star"], "guidance_scale": 5.0}, GUIDED),
        (latent_diffusion, {"prompt": PROMPT, "guidance_scale": 1.0}, PLAIN),
        (latent_diffusion, {"prompt": PROMPT, "guidance_scale": 0.5}, {"uncond": 0.5, "cond": 0.5}),
        (instructed, WORDS | {"image": PHOTO, "guidance_scale": 5.0}, {"cond": 5.0, "image": -3.5, "uncond": -0.5}),
        (instructed, TWO | {"image": [PHOTO] * 2, "guidance_scale": 5.0}, {"cond": 5.0, "image": -3.5, "uncond": -0.5}),
        (instructed, WORDS | {"image": PHOTO, "guidance_scale": 1.0}, PLAIN),
        (PAG, WORDS | {"guidance_scale": 5.0, "pag_scale": 2.0}, {"uncond": -4.0, "cond": 7.0, "perturbed": -2.0}),
        (PAG, TWO | {"guidance_scale": 5.0, "pag_scale": 2.0}, {"uncond": -4.0, "cond": 7.0, "perturbed": -2.0}),
        (PAG, WORDS | {"guidance_scale": 1.0, "pag_scale": 2.0}, {"cond": 3.0, "perturbed": -2.0}),
        (PAG, WORDS | {"guidance_scale": 5.0, "pag_scale": 0.0}, GUIDED),
        (PAG_IMG2IMG, WORDS | {"image": PHOTO, "guidance_scale": 5.0, "pag_scale": 2.0},
         {"uncond": -4.0, "cond": 7.0, "perturbed": -2.0}),
        (SAFE, WORDS | {"guidance_scale": 5.0}, {"uncond": -4.0, "cond": 5.0, "safety": 0.0}),
        (SAFE, WORDS | {"guidance_scale": 5.0, "sld_guidance_scale": 0.0}, GUIDED),
        (SAFE, WORDS | {"guidance_scale": 1.0}, PLAIN),
        (SEMANTIC, WORDS | {"guidance_scale": 5.0, "editing_prompt": "the star"},
         {"uncond": -4.0, "cond": 5.0, "edit": 0.0}),
        (SEMANTIC, WORDS | {"guidance_scale": 5.0, "editing_prompt": ["the star", "a cat"]},
         {"uncond": -4.0, "cond": 5.0, "edit0": 0.0, "edit1": 0.0}),
        (SEMANTIC, WORDS | {"guidance_scale": 1.0}, PLAIN),
        (PANORAMA, WORDS | {"height": 128, "width": 128, "guidance_scale": 5.0}, GUIDED),
    ],
)  # fmt: skip
def test_rows_are_named_by_what_guidance_does_with_them(pipe, seeded, build, options, expected):
    check(build(pipe), call_with(seeded, **options), expected)


def test_words_of_pipelines_that_encode_in_private_or_in_their_own_call(pipe, seeded):
    for build, options in (
        (instructed, {"image": PHOTO}),
        (latent_diffusion, {"guidance_scale": 3.0}),
        (SAFE, {}),
        (SEMANTIC, {}),
    ):
        other = build(pipe)
        with attnscope.capture(other, kind="cross") as trace:
            call_with(seeded, prompt=PROMPT, **options)(other)
        assert (trace.prompt(), trace.span("cat").tokens) == (PROMPT, (3,))
        assert attnscope.heat_map(trace, "cat").array.shape == (16, 16)


def texts_read(pipe, call):
    """The text embeddings of each row of each call of the U-Net."""
    seen = []
    handle = pipe.unet.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["encoder_hidden_states"].clone()), with_kwargs=True
    )
    try:
        call(pipe)
    finally:
        handle.remove()
    return seen


def encoded(pipe, text):
    tokens = pipe.tokenizer(
        text, padding="max_length", max_length=77, truncation=True, return_tensors="pt"
    ).input_ids
    with torch.no_grad():
        return pipe.text_encoder(tokens)[0][0]


SOURCE = "the star"
TEXTS = {"cond": PROMPT, "source": SOURCE, "uncond": "", "source_uncond": "", "edit": PROMPT}


def ledits(pipe, source=""):
    pipe.invert(image=PHOTO, source_prompt=source, num_inversion_steps=3, skip=0.0)
    return pipe(editing_prompt=[PROMPT], edit_guidance_scale=5.0, use_intersect_mask=False)


@pytest.mark.parametrize(
    ("build", "call", "branches"),
    [
        (
            of_same_parts("CycleDiffusionPipeline"),
            lambda pipe: pipe(PROMPT, SOURCE, image=PHOTO, strength=1.0, num_inference_steps=2),
            [("source_uncond", "uncond", "source", "cond")] * 2,
        ),
        (
            inverting,
            lambda pipe: pipe.generate_mask(
                PHOTO, target_prompt=PROMPT, source_prompt=SOURCE, num_maps_per_mask=1
            ),
            [("source", "source_uncond", "cond", "uncond")],
        ),
        (
            inverting,
            lambda pipe: pipe.invert(PROMPT, PHOTO, num_inference_steps=2, inpaint_strength=1.0),
            [("uncond", "cond")] * 2,
        ),
        (edited, ledits, [("uncond",)] * 3 + [("uncond", "edit")] * 3),
    ],
)
def test_rows_of_editing_pipelines_read_the_text_that_they_are_named_after(pipe, build, call, branches):
    other = build(pipe)
    with attnscope.capture(other, kind="cross", blocks=1) as trace:
        call(other)
    calls = [each for one in trace.passes for each in one.calls]
    assert [tuple(row.branch for row in each.rows) for each in calls] == branches
    truth = texts_read(other, call)
    for rows, of_call in zip(branches, truth, strict=True):
        for branch, embedding in zip(rows, of_call, strict=True):
            torch.testing.assert_close(embedding, encoded(pipe, TEXTS[branch]))


def test_inversion_with_a_source_prompt_reads_it_and_the_empty_text_in_turn(pipe):
    other = edited(pipe)
    with attnscope.capture(other, kind="cross", blocks=1) as trace:
        ledits(other, SOURCE)
    inversion = trace.passes[0]
    truth = texts_read(other, lambda pipe: ledits(pipe, SOURCE))
    assert [len(step.calls) for step in inversion.steps] == [2, 2, 2]
    for call in inversion.calls:
        text = SOURCE if call.rows[0].branch == "cond" else ""
        torch.testing.assert_close(truth[call.index][0], encoded(pipe, text))
    one, other = (
        inversion.probabilities(block=1, kind="cross", branch=b, mean=("step", "head"))
        for b in ("uncond", "cond")
    )
    assert not torch.equal(one, other)


@pytest.mark.parametrize("images", [1, 3])
def test_rows_of_a_pipeline_without_guidance_are_images(images):
    unet = UNet2DModel(
        sample_size=16, block_out_channels=(16, 16), norm_num_groups=4, layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    pipe = DDIMPipeline(unet, DDPMScheduler())
    pipe.set_progress_bar_config(disable=True)
    with attnscope.capture(pipe) as trace:
        pipe(batch_size=images, num_inference_steps=2, output_type="np")
    assert [(row.branch, row.image) for row in trace.rows] == [("cond", image) for image in range(images)]


def test_views_in_one_batch_are_refused_with_a_remedy_that_works(pipe, seeded):
    panorama = PANORAMA(pipe)
    options = WORDS | {"height": 128, "width": 576, "num_inference_steps": 1}
    with pytest.raises(CaptureError, match="view_batch_size=1"), attnscope.capture(panorama):
        call_with(seeded, view_batch_size=2, **options)(panorama)
    with attnscope.capture(panorama, blocks=1) as trace:
        call_with(seeded, view_batch_size=1, **options)(panorama)
    assert trace.branches == ("uncond", "cond")


def test_several_steps_in_one_batch_are_refused_with_a_remedy_that_works(pipe, seeded):
    parallel = made(
        "StableDiffusionParadigmsPipeline",
        pipe,
        scheduler=diffusers.DDIMParallelScheduler(beta_schedule="scaled_linear", clip_sample=False),
    )
    with pytest.raises(CaptureError, match="several steps in one batch"), attnscope.capture(parallel):
        call_with(seeded, parallel=2, height=128, width=128, **WORDS)(parallel)
    instead = StableDiffusionPipeline(
        **parallel.components, image_encoder=None, requires_safety_checker=False
    )
    instead.set_progress_bar_config(disable=True)
    with attnscope.capture(instead, blocks=1) as trace:
        call_with(seeded, **WORDS)(instead)
    assert len(trace.steps) == 2


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5])
def test_what_nothing_explains_is_refused_with_an_example_that_works(pipe, rows):
    own = OwnGuidance(**pipe.components)
    text = torch.randn(rows, 77, 16)
    with pytest.raises(CaptureError, match=f"OwnGuidance runs with a batch of {rows} row") as refusal:
        with attnscope.capture(own):
            own(rows, text)
    example = eval(str(refusal.value).split("branches=")[1].split(", or ")[0])
    for branches in (example, ("cond",)):
        with attnscope.capture(own, branches=branches, blocks=1) as trace:
            own(rows, text)
        assert Counter(row.branch for row in trace.rows) == Counter(
            {branch: rows // len(branches) for branch in branches}
        )


def test_a_subclass_is_known_by_the_call_that_it_inherits(pipe, seeded):
    class Renamed(type(variation(pipe))):
        pass

    other = variation(pipe)
    other.__class__ = Renamed
    check(other, call_with(seeded, guidance_scale=5.0, **VARIED), GUIDED)


def test_every_name_in_the_table_is_a_pipeline_of_diffusers():
    if tuple(map(int, diffusers.__version__.split(".")[:2])) < (0, 42):
        pytest.skip("the table's names are of diffusers 0.42")
    known = {name.split(".")[0] for name in (*_SPECIAL, *_USUAL)}
    assert not [name for name in known if not hasattr(diffusers, name)]

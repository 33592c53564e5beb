"""What a capture knows of the call: rows, branches, tokens, settings."""

import types

import pytest
import torch

import attnscope
from attnscope.atlas import DEMO_FOLDER
from attnscope.errors import SelectionError
from attnscope.recording.calling.provenance import model_and_revision
from capture_cases import PROMPT, run


def test_every_row_knows_its_image_and_its_branch(pipe, seeded):
    with attnscope.capture(pipe, kind="cross") as trace:
        run(
            pipe,
            seeded,
            prompt=["a red cat", "the star"],
            num_images_per_prompt=2,
            negative_prompt=["grass"] * 2,
        )
    assert [(row.branch, row.image) for row in trace.rows] == [
        (b, i) for b in ("uncond", "cond") for i in range(4)
    ]
    assert [trace.prompt(image) for image in range(4)] == ["a red cat", "a red cat", "the star", "the star"]
    assert trace.span("star", image=3).tokens == (2,)
    with attnscope.capture(pipe, kind="cross") as single:
        run(pipe, seeded, prompt="the star", negative_prompt="grass", guidance_scale=1.0)
    assert single.branches == ("cond",)
    key = single.record(block=1, kind="cross").key[0]
    of_rows = trace.record(block=1, kind="cross").key
    same = [torch.allclose(key, row, atol=1e-5) for row in of_rows]
    assert same == [False] * 6 + [True] * 2


def test_rows_are_known_when_both_branches_have_the_same_text(pipe, seeded):
    with attnscope.capture(pipe, kind="cross") as trace:
        run(pipe, seeded, prompt="")
    assert [row.branch for row in trace.rows] == ["uncond", "cond"]


def test_prompt_embeds_have_numbered_tokens(pipe, seeded):
    embeds = torch.randn(1, 77, 16)
    with attnscope.capture(pipe, kind="cross") as trace:
        run(pipe, seeded, prompt=None, prompt_embeds=embeds, negative_prompt_embeds=-embeds)
    assert trace.branches == ("uncond", "cond")
    assert trace.tokens()[5].text == "[5]"
    assert attnscope.heat_map(trace, 5).array.shape == (16, 16)


def test_what_the_pipeline_says_of_the_run_is_kept(pipe, seeded):
    with attnscope.capture(pipe, blocks=7) as trace:
        pictures = run(
            pipe, seeded, output_type="pil", height=64, width=192, generator=seeded(17), num_inference_steps=3
        )
    facts = trace.run
    assert (facts.seed, facts.planned_steps, facts.scheduler) == (17, 3, "DDIMScheduler")
    assert facts.image_size_hw == (64, 192)
    assert facts.prompts == [PROMPT]
    assert trace.picture.tobytes() == pictures[0].tobytes()
    assert [step.timestep for step in trace.steps] == [float(t) for t in pipe.scheduler.timesteps]


def test_model_and_revision_are_known_where_the_hub_says_them(pipe):
    def named(name, unet_source):
        config = types.SimpleNamespace(_name_or_path=unet_source)
        return types.SimpleNamespace(name_or_path=name, unet=types.SimpleNamespace(config=config))

    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = f"/cache/models--a--b/snapshots/{commit}/unet"
    assert model_and_revision(named("a/b", snapshot), "unet") == ("a/b", commit)
    assert model_and_revision(named("./mine", ""), "unet") == ("./mine", None)
    assert model_and_revision(named(str(DEMO_FOLDER), ""), "unet") == ("demo", None)
    assert model_and_revision(pipe, "unet") == (None, None)


def test_guidance_that_ends_early_is_followed(pipe, seeded):
    def end_guidance(pipeline, index, timestep, kwargs):
        if index == 1:
            pipeline._guidance_scale = 0.0
            kwargs["prompt_embeds"] = kwargs["prompt_embeds"].chunk(2)[-1]
        return kwargs

    options = {"num_inference_steps": 4, "callback_on_step_end": end_guidance}
    options["callback_on_step_end_tensor_inputs"] = ["prompt_embeds"]
    plain = run(pipe, seeded, **options)
    with attnscope.capture(pipe, kind="cross") as trace:
        assert torch.equal(plain, run(pipe, seeded, **options))
    assert [len(step.rows) for step in trace.steps] == [2, 2, 1, 1]
    assert trace.probabilities(block=1, kind="cross", branch="cond").shape[0] == 4
    with pytest.raises(SelectionError, match="step 2 has no row for branch 'uncond'"):
        trace.probabilities(block=1, kind="cross")


def test_edited_embeddings_keep_their_branches_and_it_is_said(pipe, seeded):
    def fade(pipeline, index, timestep, kwargs):
        kwargs["prompt_embeds"] = kwargs["prompt_embeds"] * 0.9
        return kwargs

    with (
        pytest.warns(UserWarning, match="rows keep the branches"),
        attnscope.capture(pipe, kind="cross") as trace,
    ):
        run(pipe, seeded, callback_on_step_end=fade, callback_on_step_end_tensor_inputs=["prompt_embeds"])
    assert [step.rows for step in trace.steps] == [trace.rows] * 2

"""capture(previews=True): a small picture of each step, and a run that is as it was."""

import inspect

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

import attnscope
from attnscope.errors import CaptureError, ParameterError, SelectionError
from attnscope.recording.calling.callers import Asking
from attnscope.recording.running.passes import IncompleteCaptureWarning
from attnscope.recording.running.predicted import predicted_latent
from attnscope.recording.running.previews import Previews, _as_places, _colours, _Latents, _picture
from attnscope.records import Call, Grid, Row, Run
from attnscope.testing.tiny_models import tiny_unet
from attnscope.testing.transformers import tiny_transformer
from pipeline_zoo import MASK, PHOTO, made, unet_of

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of diffusers

RUN = {"num_inference_steps": 3, "guidance_scale": 3.0, "height": 64, "width": 128}


def with_scheduler(pipe, name, **config):
    """The tiny pipeline with another scheduler."""
    kind = getattr(diffusers, name, None) or pytest.skip(f"this diffusers has no {name}")
    return made("StableDiffusionPipeline", pipe, scheduler=kind.from_config(pipe.scheduler.config, **config))


@pytest.mark.parametrize("name", ["DDIMScheduler", "EulerAncestralDiscreteScheduler", "DDPMScheduler"])
def test_the_run_is_as_it_was_and_nothing_is_left_on_the_scheduler(pipe, seeded, name):
    pipe = with_scheduler(pipe, name)
    generator, watched = seeded(), seeded()
    expected = pipe("a red cat", eta=0.7, generator=generator, **RUN).images[0]
    state = {**vars(pipe.scheduler)}
    with attnscope.capture(pipe, previews=True) as trace:
        picture = pipe("a red cat", eta=0.7, generator=watched, **RUN).images[0]
    assert np.array_equal(np.asarray(picture), np.asarray(expected))
    assert torch.equal(generator.get_state(), watched.get_state())
    assert set(vars(pipe.scheduler)) == set(state)
    assert "step" not in vars(pipe.scheduler)
    assert list(trace.previews) == [0, 1, 2]
    assert trace.preview(2).size == (16, 8)


def known(name, **config):
    """A scheduler, and what it itself predicts of an answer in the middle of its steps."""
    kind = getattr(diffusers, name, None) or pytest.skip(f"this diffusers has no {name}")
    options = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012} | config
    scheduler = kind(**options)
    scheduler.set_timesteps(10)
    return scheduler, scheduler.timesteps[4]


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("name", ["DDIMScheduler", "DDPMScheduler", "EulerDiscreteScheduler"])
def test_the_latent_without_noise_is_what_the_scheduler_predicts(name, prediction_type):
    unclipped = {} if name.startswith("Euler") else {"clip_sample": False}
    if name.startswith("Euler") and prediction_type == "sample":
        pytest.skip("diffusers does not have it")
    scheduler, timestep = known(name, prediction_type=prediction_type, **unclipped)
    generator = torch.Generator().manual_seed(0)
    output, sample = (torch.randn(2, 4, 8, 8, generator=generator) for _ in range(2))
    seen = scheduler.scale_model_input(sample, timestep)
    expected = scheduler.step(output, timestep, sample).pred_original_sample
    found = predicted_latent(scheduler, output, timestep, sample, seen)
    assert (found - expected).abs().max() < 2e-3 * expected.abs().max()  # Euler's sigmas are interpolated


@pytest.mark.parametrize("name", ["DPMSolverMultistepScheduler", "UniPCMultistepScheduler"])
@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "flow_prediction"])
def test_it_is_what_solvers_convert_an_answer_to(name, prediction_type):
    flow = {"use_flow_sigmas": True} if prediction_type == "flow_prediction" else {}
    if flow and "use_flow_sigmas" not in inspect.signature(getattr(diffusers, name)).parameters:
        pytest.skip("this diffusers has no flows in its solvers")
    scheduler, timestep = known(name, prediction_type=prediction_type, **flow)
    generator = torch.Generator().manual_seed(0)
    output, sample = (torch.randn(2, 4, 8, 8, generator=generator) for _ in range(2))
    scheduler._init_step_index(timestep)
    expected = scheduler.convert_model_output(output, sample=sample)
    found = predicted_latent(scheduler, output, timestep, sample, sample)
    assert (found - expected).abs().max() < 1e-2 * expected.abs().max()


def test_a_flow_goes_back_to_where_it_came_from():
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(5)
    latent, noise = torch.randn(2, 6, 4), torch.randn(2, 6, 4)
    for sigma, timestep in zip(scheduler.sigmas, scheduler.timesteps, strict=False):
        noisy = (1 - sigma) * latent + sigma * noise
        found = predicted_latent(scheduler, noise - latent, timestep, noisy, None)
        assert (found - latent).abs().max() < 1e-5
    assert predicted_latent(scheduler, noise, torch.tensor(3.21), latent, None).isnan().all()


def test_colours_that_are_a_mixture_of_channels_come_back():
    generator = torch.Generator().manual_seed(0)
    latent = torch.randn(2, 96, 4, generator=generator)
    tones = (latent @ torch.tensor([[0.1, 0, 0], [0, 0.08, 0], [0.02, 0, 0.1], [0, 0.05, 0.05]]) + 0.5).clamp(
        0, 1
    )
    pictures = [
        Image.fromarray((each.reshape(8, 12, 3) * 255).round().byte().numpy()).resize((96, 64), 0)
        for each in tones
    ]
    step = _Latents(latent, Grid(8, 12))
    colours = _colours(step, pictures)
    for of_image, picture in zip(latent.double(), pictures, strict=True):
        found = np.asarray(_picture(of_image @ colours[:-1] + colours[-1], step.grid, 128)).astype(int)
        assert np.abs(found - np.asarray(picture.resize((12, 8), 0))).max() <= 3
    flat = _colours(step, [Image.new("RGB", (96, 64), (200, 100, 50))] * 2)
    assert np.allclose(flat[:-1], 0)
    assert np.allclose(flat[-1] * 255, [200, 100, 50])


def test_the_demo_model_is_seen_forming_its_picture(seeded):
    demo = attnscope.load_pipeline("demo")
    demo.set_progress_bar_config(disable=True)
    with attnscope.capture(demo, kind="cross", blocks=16, previews=True) as trace:
        demo("a red house on grass", num_inference_steps=10, guidance_scale=3.0, generator=seeded())
    small = np.asarray(trace.picture.resize((32, 32), Image.Resampling.BOX)).astype(float)
    off = [np.abs(np.asarray(trace.preview(step)) - small).mean() for step in range(10)]
    assert off[9] < 12
    assert off[0] > off[4] > off[9]


def test_each_image_has_its_own_also_without_guidance_and_smaller_ones(pipe, seeded):
    options = RUN | {"guidance_scale": 1.0, "num_images_per_prompt": 2}
    with attnscope.capture(pipe, previews=8) as trace:
        pipe(["a red cat", "a star"], generator=seeded(), **options)
    assert [len(of_step) for of_step in trace.previews.values()] == [4, 4, 4]
    assert trace.preview(1, image=3).size == (8, 4)
    assert trace.preview(1, image=3) != trace.preview(1, image=0)
    for match, at in (("previews of 0 to 2", (3, 0)), ("image 4", (0, 4))):
        with pytest.raises(SelectionError, match=match):
            trace.preview(*at)


def test_inpainting_shows_the_latent_without_what_lies_beside_it(pipe, seeded):
    pipeline = made("StableDiffusionInpaintPipeline", pipe, unet=unet_of(9))
    with attnscope.capture(pipeline, previews=True) as trace:
        pipeline("a cat", PHOTO, MASK, num_inference_steps=3, strength=1.0, generator=seeded())
    assert list(trace.previews) == [0, 1, 2]


def test_a_second_evaluation_of_a_step_stands_for_it(pipe, seeded):
    pipeline = with_scheduler(pipe, "HeunDiscreteScheduler")
    with attnscope.capture(pipeline, previews=True) as trace:
        pipeline("a cat", generator=seeded(), **RUN)
    assert list(trace.previews) == [step.index for step in trace.steps] == [0, 1, 2]


def test_passes_have_their_own(pipe, seeded):
    with attnscope.capture(pipe, kind="cross", previews=True) as trace:
        pipe("a cat", generator=seeded(), **RUN)
        pipe("a star", generator=seeded(1), **RUN | {"num_inference_steps": 2})
    first, second = trace.passes
    assert (len(first.previews), len(second.previews)) == (3, 2)
    assert first.preview(0) != second.preview(0)


def test_those_of_many_steps_are_as_small_as_a_file_of_all_of_them_has_to_be(
    pipe, seeded, tmp_path, monkeypatch
):
    monkeypatch.setattr("attnscope.recording.running.previews.MAX_PIXELS", 3 * 100)
    with attnscope.capture(pipe, folder=tmp_path / "run.trace", previews=True) as trace:
        pipe("a red cat", generator=seeded(), **RUN)
    assert trace.preview(0).size == (10, 5)
    assert attnscope.load_trace(tmp_path / "run.trace").preview(2).size == (10, 5)


def test_reduced_maps_alone_have_previews_too(pipe, seeded, tmp_path):
    keep = {"words": attnscope.Reduced("cross")}
    with attnscope.capture(pipe, qk=False, keep=keep, previews=True, folder=tmp_path / "run") as trace:
        pipe("a cat", generator=seeded(), **RUN)
    assert len(trace.previews) == 3
    again = attnscope.load_trace(tmp_path / "run")
    assert [again.preview(step) for step in range(3)] == [trace.preview(step) for step in range(3)]


def test_without_a_picture_there_are_none_and_it_is_said(pipe, seeded):
    with pytest.warns(
        IncompleteCaptureWarning, match="no previews: the run gave no pictures.*output_type='pil'"
    ):
        with attnscope.capture(pipe, previews=True) as trace:
            pipe("a cat", generator=seeded(), output_type="latent", **RUN)
    with pytest.raises(SelectionError, match="has no previews: `capture"):
        trace.preview(0)
    with attnscope.capture(pipe, previews=True) as trace:  # what the message says works
        pipe("a cat", generator=seeded(), output_type="pil", **RUN)
    assert trace.preview(0)


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (None, "DDIMScheduler with 'epsilon' does not tell how much noise"),
        (torch.ones(2), "there are no previews: IndexError"),
    ],
)
def test_a_scheduler_that_does_not_tell_its_noise_costs_the_previews_not_the_run(pipe, seeded, told, says):
    pipeline = with_scheduler(pipe, "DDIMScheduler", prediction_type="epsilon")
    pipeline.scheduler.alphas_cumprod, alphas = told, pipeline.scheduler.alphas_cumprod
    original = pipeline.scheduler.step

    def step(model_output, timestep, sample, eta=0.0, generator=None, return_dict=True):
        pipeline.scheduler.alphas_cumprod = alphas
        try:
            return original(
                model_output, timestep, sample, eta=eta, generator=generator, return_dict=return_dict
            )
        finally:
            pipeline.scheduler.alphas_cumprod = told

    pipeline.scheduler.step = step
    with pytest.warns(IncompleteCaptureWarning, match=says):
        with attnscope.capture(pipeline, previews=True) as trace:
            pipeline("a cat", generator=seeded(), **RUN)
    assert len(trace.steps) == 3
    assert pipeline.scheduler.step is step


def test_latents_of_any_type_are_cut_into_patches_row_by_row():
    latent = torch.arange(2 * 3 * 4 * 6).reshape(2, 3, 4, 6)
    expected = torch.nn.functional.unfold(latent.double(), 2, stride=2).mT
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        assert torch.equal(_as_places(latent.to(dtype), Grid(2, 3)).double(), expected.to(dtype).double())
    with pytest.raises(CaptureError, match="a latent of 4x6, where the model's attention has 3x3"):
        _as_places(latent, Grid(3, 3))


@pytest.mark.parametrize(
    "change",
    [
        {"sample": torch.zeros(1, 16, dtype=torch.long)},  # token numbers, as of aMUSEd
        {"sample": None},
        {"model_output": torch.zeros(1, 3, 4, 4)},
        {"model_output": torch.zeros(1, 20, 4)},
        {"result": (torch.zeros(1, 4, 2, 2),)},
        {"result": (None,)},
    ],
)
def test_steps_that_are_none_from_latent_to_latent_cost_the_previews_alone(change):
    latent = torch.zeros(1, 4, 4, 4)
    arguments = {"sample": latent, "model_output": latent, "timestep": 5, "result": (latent,)} | change
    asked, call = Asking(latent, 5, None, None), Call(0, 0, 5.0, (Row("cond", 0),))
    previews = Previews(128, 1, is_first=True)
    previews.note_call(asked, call)
    previews.note_step(diffusers.DDIMScheduler(), arguments, arguments.pop("result"))
    assert list(previews.gaps()) == [
        "there are no previews: DDIMScheduler does not step from one latent to the next"
    ]


def test_what_can_have_no_previews_is_refused(pipe, tmp_path, seeded):
    with pytest.raises(CaptureError, match="need a pipeline.*UNet2DConditionModel alone"):
        with attnscope.capture(tiny_unet(), previews=True):
            pass
    for previews in (0, -1, 2000, "yes", 12.5):
        with pytest.raises(ParameterError, match="previews="):
            attnscope.capture(pipe, previews=previews)
    assert not attnscope.capture(pipe, previews=False)._models[0].plan.asked.previews_px
    pytest.importorskip("transformer_cases")
    video = tiny_transformer("ltx", tmp_path)
    video.set_progress_bar_config(disable=True)
    with pytest.raises(CaptureError, match="of pictures, and this run makes a video"):
        with attnscope.capture(video, previews=True):
            video("a cat", num_inference_steps=1, height=64, width=64, num_frames=9, generator=seeded())
    assert "step" not in vars(video.scheduler)


def test_an_interrupted_run_has_no_previews_and_leaves_the_scheduler_alone(pipe, seeded):
    def stop(pipeline, step, timestep, tensors):
        raise KeyboardInterrupt

    before = vars(pipe.scheduler).get("step")  # a test before may have left it there
    with pytest.raises(KeyboardInterrupt):
        with attnscope.capture(pipe, previews=True) as trace:
            pipe("a cat", generator=seeded(), callback_on_step_end=stop, **RUN)
    assert len(trace.steps) == 1
    assert trace.previews == Run().previews == {}
    assert vars(pipe.scheduler).get("step") is before


def test_a_moving_picture_shows_them_beside_the_map(pipe, seeded, tmp_path):
    with attnscope.capture(pipe, kind="cross", previews=True) as trace:
        pipe("a red cat", generator=seeded(), **RUN)
    with Image.open(attnscope.animate(trace, "cat", tmp_path / "cat.gif")) as gif:
        assert gif.n_frames == 3
        assert gif.size == (2 * 256 + 4, 128 + 46)

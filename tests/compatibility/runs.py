"""Who calls the model, how often, and what of it is kept: passes, callers, extra calls, choices of a capture."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import diffusers
import torch

from compatibility.case import NEGATIVE, Case
from compatibility.options import option, plain
from compatibility.parts import WIDE, generator, picture, scheduler, stable_diffusion, unet
from compatibility.zoo_stable_diffusion import asks, sized

GROUP = "Runs and captures"
BOTH = ("uncond", "cond")


def run_of(name: str, run: Any, **truth: Any) -> Case:
    """A case of this table."""
    return option(name, run, group=GROUP, **truth)


def _from_parts(pipe: Any) -> Any:
    other = diffusers.StableDiffusionPipeline(**pipe.components)
    other.set_progress_bar_config(disable=True)
    return sized()(other)


def _img2img(pipe: Any) -> Any:
    other = diffusers.AutoPipelineForImage2Image.from_pipe(pipe)
    other.set_progress_bar_config(disable=True)
    return asks(negative_prompt=NEGATIVE, image=picture, strength=1.0)(other)


class Pair:
    """Text-to-image and the image-to-image that goes on from it, over the same components."""

    def __init__(self) -> None:
        self.first = plain()
        self.second = diffusers.StableDiffusionImg2ImgPipeline(**self.first.components)
        for pipe in (self.first, self.second):
            pipe.set_progress_bar_config(disable=True)


def _one_after_the_other(pair: Pair) -> Any:
    first = sized()(pair.first)
    return [first, asks(negative_prompt=NEGATIVE, image=picture, strength=1.0)(pair.second)]


def _twice(pipe: Any) -> Any:
    return [sized()(pipe), sized("the red star")(pipe)]


def _two_sizes(pipe: Any) -> Any:
    return [sized()(pipe), sized(height=128, width=64)(pipe)]


def _bare(pipe: Any) -> Any:
    sample = torch.randn(2, 4, 8, 12, generator=generator())
    text = torch.randn(2, 7, WIDE, generator=generator(1))
    return [pipe.unet(sample, timestep, text).sample.detach().flatten(1) for timestep in (900, 500)]


def _looks_again(pipe: Any) -> Any:
    def look(pipe: Any, step: int, timestep: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        pipe.unet(torch.cat([kwargs["latents"]] * 2), timestep, kwargs["prompt_embeds"])
        return {}

    wanted = lambda: ["latents", "prompt_embeds"]  # noqa: E731
    return sized(callback_on_step_end=lambda: look, callback_on_step_end_tensor_inputs=wanted)(pipe)


def _warms_up(pipe: Any) -> Any:
    _bare(pipe)
    return sized()(pipe)


def _warm_rows(call: int) -> Any:
    return (("cond", 0), ("cond", 1)) if call < 2 else (("uncond", 0), ("cond", 0))


def _panorama(pipe: Any) -> Any:
    views = [(0, 8, 0, 12), (0, 8, 8, 20)]
    pipe.get_views = lambda *args, **options: views
    return sized(height=64, width=160)(pipe)


def _panorama_pipe() -> Any:
    return stable_diffusion(diffusers.StableDiffusionPanoramaPipeline)


def _excites() -> Any:
    return stable_diffusion(diffusers.StableDiffusionAttendAndExcitePipeline)


REFINED = (22, 24)
"""In the first step one look, twenty refinements and another look come first; in the second one look."""


def _refines(call: int) -> Any:
    return (("cond", 0),) if call not in REFINED else (("uncond", 0), ("cond", 0))


def _instructs(kind: Any = diffusers.StableDiffusionInstructPix2PixPipeline) -> Any:
    return stable_diffusion(kind, unet=unet(in_channels=8))


def _folder() -> str:
    return str(Path(tempfile.mkdtemp()) / "run.trace")


def named(name: str, build: Any, run: Any, branches: tuple[str, ...], **truth: Any) -> Case:
    """A run whose rows the user names, as the error asks for."""
    return Case(name, GROUP, build, run, branches=branches, options={"branches": branches}, **truth)


CASES = [
    run_of("the same pipeline twice", _twice, steps=4),
    run_of("two sizes one after the other", _two_sizes, steps=4),
    Case(
        "text-to-image, then image-to-image, both captured",
        GROUP,
        Pair,
        _one_after_the_other,
        steps=4,
        watched=lambda pair: [pair.first, pair.second],
        models=lambda pair: [pair.first.unet],
    ),
    run_of("another pipeline of the same components", _from_parts),
    run_of("AutoPipelineForImage2Image.from_pipe", _img2img),
    run_of("the U-Net is captured, its pipeline runs", sized(), watched=lambda pipe: pipe.unet),
    run_of("a bare U-Net", _bare, branches=("cond",), images=2, watched=lambda pipe: pipe.unet, word=3),
    run_of(
        "a bare U-Net whose rows are named",
        _bare,
        watched=lambda pipe: pipe.unet,
        word=3,
        options={"branches": BOTH},
    ),
    run_of("a warm-up before the pipeline", _warms_up, rows=_warm_rows, steps=4, asked=1),
    run_of("a callback calls the model, too", _looks_again, mains=lambda count: list(range(0, count, 2))),
    Case(
        "panorama of two views",
        GROUP,
        _panorama_pipe,
        _panorama,
        mains=lambda count: list(range(0, count, 2)),
    ),
    Case(
        "Attend-and-Excite with refinement",
        GROUP,
        _excites,
        rows=_refines,
        mains=lambda count: list(REFINED),
        run=sized(
            token_indices=lambda: [3],
            max_iter_to_alter=2,
            thresholds=lambda: {0: 2.0},
            attn_res=lambda: (4, 6),
        ),
    ),
    named(
        "InstructPix2Pix, rows named",
        _instructs,
        asks(negative_prompt=NEGATIVE, image=picture),
        ("cond", "image", "uncond"),
    ),
    named(
        "PAG, rows named",
        lambda: stable_diffusion(diffusers.StableDiffusionPAGPipeline),
        sized(),
        ("uncond", "cond", "perturbed"),
        rows_apart=True,
    ),
    run_of("the last step alone", sized(), options={"steps": [-1]}, steps=1),
    run_of(
        "the last step of Heun's method",
        sized(num_inference_steps=3),
        options={"steps": [-1]},
        steps=1,
        parts=lambda: {"scheduler": scheduler(diffusers.HeunDiscreteScheduler)},
    ),
    run_of("cross-attention alone", sized(), options={"kind": "cross"}),
    run_of("self-attention alone", sized(), options={"kind": "self"}),
    run_of("the prompt's branch alone", sized(), options={"branch": "cond"}),
    run_of("two blocks alone", sized(), options={"blocks": [1, 3]}),
    run_of("kept as float16", sized(), options={"dtype": torch.float16}, tolerance=2e-2),
    run_of("kept on the device", sized(), options={"where": "device"}),
    run_of("values, too", sized(), options={"value": True}),
    run_of("a budget of 200 kB", sized(), options={"budget": 200_000}),
]

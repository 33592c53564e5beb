"""What is asked of a pipeline, whatever its class: the call's arguments, and the size of its trace."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from attnscope.errors import ParameterError

UNET_STEPS = 20
"""Of a U-Net where nothing is said; transformers take their pipeline's own number."""


@dataclass(frozen=True)
class Plan:
    """What to make, and how much of its attention to keep.

    Attributes:
        prompt: The prompt.
        seed: Seed of the noise.
        steps: Denoising steps. None: 20 with a U-Net, else the pipeline's own.
        guidance_scale: None: the pipeline's own.
        negative_prompt: None: the pipeline's own.
        size_hw: (height, width) in pixels. None: the model's own.
        true_cfg_scale: Of guidance by a negative prompt, where that is not `guidance_scale`. None: the pipeline's own.
        keep: Passed to `attnscope.capture`: kind, steps, branch.

    Raises:
        ParameterError: The prompt is empty.
    """

    prompt: str
    seed: int = 0
    steps: int | None = None
    guidance_scale: float | None = None
    negative_prompt: str | None = None
    size_hw: tuple[int, int] | None = None
    true_cfg_scale: float | None = None
    keep: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse an empty prompt, before a model is loaded for it."""
        if not self.prompt.strip():
            raise ParameterError("the prompt is empty: expected words, whose attention can be shown")


def call_arguments(pipe: Any, plan: Plan, spelled: Callable[[str], str] = str) -> dict[str, Any]:
    """The arguments of the pipeline's call. The model sees the very size that the picture has.

    Args:
        pipe: The pipeline.
        plan: What to make.
        spelled: How whoever asks writes the name of a setting, such as `--guidance-scale`.

    Raises:
        ParameterError: There are no steps, or the pipeline does not take what is asked for.
    """
    import torch

    takes = defaults_of(pipe)
    if plan.steps is not None and plan.steps < 1:
        raise ParameterError(f"{spelled('steps')} {plan.steps}: expected 1 or more")
    _check_makes_pictures(pipe, takes)
    height, width = plan.size_hw or (None, None)
    wanted = {
        "guidance_scale": plan.guidance_scale,
        "true_cfg_scale": plan.true_cfg_scale,
        "negative_prompt": plan.negative_prompt,
        "height": height,
        "width": width,
    }
    asked = {name: value for name, value in wanted.items() if value is not None}
    for name in asked:
        if name not in takes:
            setting = "size" if name in ("height", "width") else name
            raise ParameterError(
                f"{spelled(setting)}: {type(pipe).__name__} does not take {name}; leave it out"
            )
    _check_negative_prompt(pipe, {**takes, **asked}, spelled)
    return {
        "prompt": plan.prompt,
        "num_inference_steps": plan.steps or usual_steps(pipe),
        "generator": torch.Generator().manual_seed(plan.seed),
        **({"use_resolution_binning": False} if "use_resolution_binning" in takes else {}),
        **asked,
    }


def defaults_of(pipe: Any) -> dict[str, Any]:
    """What a pipeline's call takes, with its defaults.

    Args:
        pipe: The pipeline.
    """
    parameters = inspect.signature(pipe.__call__).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters}


def usual_steps(pipe: Any) -> int:
    """How many steps are taken where nothing is said.

    Args:
        pipe: The pipeline.

    Raises:
        ModelError: Its denoising model can't be captured.
    """
    from attnscope.atlas.families import UNET
    from attnscope.recording.planning.modules import model_of

    family, _ = model_of(pipe)
    return UNET_STEPS if family is UNET else defaults_of(pipe).get("num_inference_steps") or UNET_STEPS


def _check_makes_pictures(pipe: Any, takes: Mapping[str, Any]) -> None:
    if "num_frames" in takes:
        raise ParameterError(
            f"{type(pipe).__name__} makes videos, and only pictures can be made here: run it in Python, "
            "`with attnscope.capture(pipe) as trace: pipe(...)`"
        )


def _check_negative_prompt(pipe: Any, takes: Mapping[str, Any], spelled: Callable[[str], str]) -> None:
    """A negative prompt that nothing would read is refused."""
    if takes.get("negative_prompt") is not None and takes.get("true_cfg_scale", 2.0) <= 1:
        raise ParameterError(
            f"{spelled('negative_prompt')}: {type(pipe).__name__} reads it only with {spelled('true_cfg_scale')} "
            "above 1, such as 4"
        )


class TraceSize(NamedTuple):
    """What a trace takes.

    Attributes:
        a_step: Bytes of each step.
        steps: How many are kept.
    """

    a_step: int
    steps: int

    @property
    def bytes(self) -> int:
        """Of the whole trace."""
        return self.a_step * self.steps


def trace_size(pipe: Any, plan: Plan, arguments: Mapping[str, Any]) -> TraceSize:
    """How large the trace of a run becomes, from the model's configuration.

    Args:
        pipe: The pipeline.
        plan: What to make and to keep.
        arguments: Of the pipeline's call.

    Raises:
        ModelError: It is not known of this model.
        ParameterError: The model can't make pictures of the size.
    """
    from attnscope.atlas import calls_a_step, layers
    from attnscope.recording.planning.modules import model_of

    guided = _is_guided({**defaults_of(pipe), **arguments}) and not plan.keep.get("branch")
    every_layer = layers(pipe, size=plan.size_hw, guidance=guided)
    calls = calls_a_step(pipe, guidance=guided)
    model: Any = model_of(pipe)[1]
    a_step = calls * sum(
        layer.bytes_query_key(model.dtype.itemsize)
        for layer in every_layer
        if plan.keep.get("kind") in (None, layer.kind) or layer.kind == "joint"
    )
    steps = range(arguments["num_inference_steps"])
    return TraceSize(a_step, len(steps[plan.keep.get("steps") or slice(None)]))


def _is_guided(arguments: Mapping[str, Any]) -> bool:
    """Whether a call has rows, or calls of the model, for the negative prompt, too."""
    if "true_cfg_scale" in arguments:
        return arguments.get("negative_prompt") is not None and arguments["true_cfg_scale"] > 1
    scale = arguments.get("guidance_scale")
    return "negative_prompt" in arguments and (not isinstance(scale, (int, float)) or scale > 1)

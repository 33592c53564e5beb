"""What `attnscope generate` asks of a pipeline, whatever its class: the call's arguments and the size of its trace."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from attnscope.cli.layer_tables import readable_bytes
from attnscope.cli.options import MAX_TRACE_GB
from attnscope.cli.output import say
from attnscope.errors import ModelError, ParameterError

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
        max_trace_gb: A trace that would be larger is refused before the run.
    """

    prompt: str
    seed: int = 0
    steps: int | None = None
    guidance_scale: float | None = None
    negative_prompt: str | None = None
    size_hw: tuple[int, int] | None = None
    true_cfg_scale: float | None = None
    keep: dict[str, Any] = field(default_factory=dict)
    max_trace_gb: float = MAX_TRACE_GB


def call_arguments(pipe: Any, plan: Plan) -> dict[str, Any]:
    """The arguments of the pipeline's call. The model sees the very size that the picture has.

    Args:
        pipe: The pipeline.
        plan: What to make.

    Raises:
        ParameterError: There are no steps, or the pipeline does not take what is asked for.
        ModelError: Its denoising model can't be captured.
    """
    import torch

    takes = _defaults(pipe)
    if plan.steps is not None and plan.steps < 1:
        raise ParameterError(f"--steps {plan.steps}: expected 1 or more")
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
            option = "--size" if name in ("height", "width") else f"--{name.replace('_', '-')}"
            raise ParameterError(f"{option}: {type(pipe).__name__} takes no {name}; leave it out")
    _check_negative_prompt(pipe, {**takes, **asked})
    return {
        "prompt": plan.prompt,
        "num_inference_steps": plan.steps or _usual_steps(pipe, takes),
        "generator": torch.Generator().manual_seed(plan.seed),
        **({"use_resolution_binning": False} if "use_resolution_binning" in takes else {}),
        **asked,
    }


def _defaults(pipe: Any) -> dict[str, Any]:
    """What a pipeline's call takes, with its defaults."""
    parameters = inspect.signature(pipe.__call__).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters}


def _usual_steps(pipe: Any, takes: Mapping[str, Any]) -> int:
    from attnscope.atlas.families import UNET
    from attnscope.recording.planning.modules import model_of

    family, _ = model_of(pipe)
    return UNET_STEPS if family is UNET else takes.get("num_inference_steps") or UNET_STEPS


def _check_makes_pictures(pipe: Any, takes: Mapping[str, Any]) -> None:
    if "num_frames" in takes:
        raise ParameterError(
            f"{type(pipe).__name__} makes videos, and this command pictures: run it in Python, "
            "`with attnscope.capture(pipe) as trace: pipe(...)`"
        )


def _check_negative_prompt(pipe: Any, takes: Mapping[str, Any]) -> None:
    """A negative prompt that nothing would read is refused."""
    if takes.get("negative_prompt") is not None and takes.get("true_cfg_scale", 2.0) <= 1:
        raise ParameterError(
            f"--negative-prompt: {type(pipe).__name__} reads it only with --true-cfg-scale above 1, such as 4"
        )


def check_size_of_trace(pipe: Any, plan: Plan, arguments: Mapping[str, Any]) -> None:
    """Refuse, before the run, a trace that would fill the disk. Its size follows from the configuration.

    Args:
        pipe: The pipeline.
        plan: What to make and to keep.
        arguments: Of the pipeline's call.

    Raises:
        ParameterError: The trace would be too large, or the model can't make pictures of the size.
    """
    from attnscope.atlas import calls_a_step, layers
    from attnscope.recording.planning.modules import model_of

    guided = _is_guided({**_defaults(pipe), **arguments}) and not plan.keep.get("branch")
    try:
        every_layer = layers(pipe, size=plan.size_hw, guidance=guided)
        calls = calls_a_step(pipe, guidance=guided)
    except ModelError as error:
        say(f"how large the trace becomes is not known before the run: {error}")
        return
    model: Any = model_of(pipe)[1]
    a_step = calls * sum(
        layer.bytes_query_key(model.dtype.itemsize)
        for layer in every_layer
        if plan.keep.get("kind") in (None, layer.kind) or layer.kind == "joint"
    )
    steps = range(arguments["num_inference_steps"])
    kept_steps = len(steps[plan.keep.get("steps") or slice(None)])
    if a_step * kept_steps > plan.max_trace_gb * 1e9:
        raise ParameterError(
            f"the trace would take {readable_bytes(a_step * kept_steps)}, {readable_bytes(a_step)} a step, "
            f"more than --max-trace-gb {plan.max_trace_gb:g}; keep less (--keep cross, --keep-every 5, "
            "--keep-branch cond), use --dtype float16, or raise the limit"
        )


def _is_guided(arguments: Mapping[str, Any]) -> bool:
    """Whether a call has rows, or calls of the model, for the negative prompt, too."""
    if "true_cfg_scale" in arguments:
        return arguments.get("negative_prompt") is not None and arguments["true_cfg_scale"] > 1
    scale = arguments.get("guidance_scale")
    return "negative_prompt" in arguments and (not isinstance(scale, (int, float)) or scale > 1)


def step_watcher(pipe: Any, advance: Callable[[], object]) -> dict[str, Any]:
    """A callback for pipelines that take one; the others run without a bar.

    Args:
        pipe: The pipeline.
        advance: Called after each step.
    """
    if "callback_on_step_end" not in inspect.signature(pipe.__call__).parameters:
        return {}

    def step_done(pipe: Any, step_index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        advance()
        return tensors

    return {"callback_on_step_end": step_done}

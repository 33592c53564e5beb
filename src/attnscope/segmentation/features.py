"""Features of a picture: what one module gave, by place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from attnscope.atlas.families import UNET
from attnscope.errors import ModelError, NumbersError, SelectionError
from attnscope.recording.planning.modules import choose_layers, model_of
from attnscope.records import Grid
from attnscope.trace.trace import Trace

Features = Float[Tensor, "height width channel"]


def usual_module(pipe: Any) -> str:
    """Path of the module whose output DiffCut takes: the last self-attention of the last down block that has any.

    Args:
        pipe: A diffusers pipeline.

    Raises:
        ModelError: Its model has no such block.
    """
    family, model = model_of(pipe)
    if family is UNET:
        layers = choose_layers(family, model, None, None)
        paths = [each.path for each in layers if each.stage == "down" and each.layer.kind == "self"]
        if paths:
            return paths[-1]
    raise ModelError(
        f"DiffCut takes features from the last self-attention on the way down, and the model of a "
        f"{type(pipe).__name__} has none: name the module whose output to take, features='...', as "
        "model.named_modules() has it"
    )


def kept_module(trace: Trace, asked: str | None) -> str:
    """Path of the module whose output in a trace are the features.

    Args:
        trace: Of one pass.
        asked: The path that the user gave.

    Raises:
        SelectionError: The trace has no outputs, or several and none was named.
    """
    if not trace.outputs:
        raise SelectionError(
            "the method 'diffcut' cuts by features, and this trace has no output of any module: capture the run with "
            "outputs=['...attn1'], the path of the last self-attention of the last down block"
        )
    if asked is not None or len(trace.outputs) == 1:
        return asked or trace.outputs[0]
    raise SelectionError(
        f"this trace has outputs of {len(trace.outputs)} modules: choose the features with features=, one of "
        f"{', '.join(map(repr, trace.outputs[:5]))}{' ...' if len(trace.outputs) > 5 else ''}"
    )


def features_of(
    trace: Trace, path: str, *, step: Sequence[int] | None = None, branch: str = "cond", image: int = 0
) -> Features:
    """What a module gave, averaged over steps, by place.

    Args:
        trace: Of one pass.
        path: The module's path.
        step: Numbers of steps; all that were captured by default.
        branch: Guidance branch.
        image: Number of the image in the batch.

    Raises:
        SelectionError: The trace lacks something that was chosen, or the output has no places.
        NumbersError: The output holds numbers that are NaN or infinite.
    """
    output = trace.output(path, step=step, branch=branch, image=image, mean="step")
    if not output.isfinite().all():
        raise NumbersError(
            f"the output of {path} holds NaN or infinite numbers: the run overflowed (try another dtype), so there "
            "are no features to compare"
        )
    if output.ndim == 3:
        return output.permute(1, 2, 0)
    grid = _grid(trace, path, output.shape[0]) if output.ndim == 2 else None
    if grid is None:
        raise SelectionError(
            f"the output of {path} has shape {tuple(output.shape)}, which are not places of the picture: "
            "expected (channel, height, width), or (token, channel) with a token for each place"
        )
    return output.unflatten(0, grid)


def _grid(trace: Trace, path: str, tokens: int) -> Grid | None:
    """The grid of tokens: of the layer itself, of other layers with as many, or of the latent halved some times."""
    same = [layer.grid for layer in trace.layers if layer.path == path]
    alike = dict.fromkeys(
        grid for grid in (*same, *(layer.grid for layer in trace.layers)) if grid.places == tokens
    )
    if alike:
        return next(iter(alike)) if same or len(alike) == 1 else None
    height, width = trace.run.latent_size_hw or (0, 0)
    while height * width > tokens:
        height, width = -(-height // 2), -(-width // 2)
    return Grid(height, width) if height * width == tokens else None

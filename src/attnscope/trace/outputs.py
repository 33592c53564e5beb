"""The outputs of modules that a capture was asked for, by path, step, branch and image."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import product

import torch
from torch import Tensor

from attnscope.errors import ParameterError, SelectionError, describe_numbers, nearest
from attnscope.records.run import Step, images_of
from attnscope.spelling import both_spellings
from attnscope.trace.contents import Contents
from attnscope.trace.selection import Pick, pick_name, pick_number
from attnscope.trace.step_rows import PartialMeanWarning, has_rows, row_of

_AXES = ("step", "branch", "image")


class Outputs(Contents):
    """What modules of one pass gave, kept by `capture(outputs=...)`."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Paths of the modules whose output was captured."""
        return tuple(self.records.outputs)

    @both_spellings("step", "branch", "image")
    def output(
        self,
        path: str,
        *,
        step: int | Sequence[int] | slice | None = None,
        call: int | None = None,
        branch: str | Sequence[str] | None = None,
        image: int | Sequence[int] | None = None,
        mean: str | Iterable[str] = (),
    ) -> Tensor:
        """What a module gave.

        The axes are (step, branch, image, ...), the last ones the module's own: (token, channel), or (channel, height,
        width). A choice by a single number or name drops its axis, and so does a mean, as in `probabilities`.

        Args:
            path: The module's path, one of `outputs`.
            step: Step numbers, as in `trace.steps`.
            call: Which call of each step, from 0; by default the one that predicts the noise.
            branch: Guidance branches, such as "cond".
            image: Numbers of images in the batch. Where the frames of a video share a row, the videos' first frames.
            mean: Axes to average, of "step", "branch", "image". A mean over steps leaves out those that lack the output
                or a branch, with a PartialMeanWarning.

        Returns:
            A tensor of its own, of the type that was kept; a mean is float32, float64 for float64.

        Raises:
            SelectionError: The trace lacks something that was chosen, or shapes differ between steps.
            ParameterError: An axis of mean is unknown.
        """
        if path not in self.records.outputs:
            known = nearest(str(path), self.outputs) or "none; capture(outputs=[...]) keeps them"
            raise SelectionError(f"output {path!r}: this trace has {known}")
        averaged = _mean_axes(mean)
        steps, images = self.steps, _images(self)
        picks = {
            "step": pick_number("step", step, [of_step.index for of_step in steps]),
            "branch": pick_name("branch", branch, self.branches),
            "image": pick_number("image", image, images),
        }
        rows = [
            (self.branches[b], images[i])
            for b, i in product(picks["branch"].positions, picks["image"].positions)
        ]
        if "step" in averaged:
            picks["step"] = _steps_with(self, path, picks["step"], call, rows)
        chosen = [steps[at] for at in picks["step"].positions]
        parts = [_of_row(self, path, each, call, *row) for each, row in product(chosen, rows)]
        return _reduced(_stacked(path, parts), picks, averaged)


def _images(trace: Contents) -> list[int]:
    """Images that have a row of their own: the frames of a video may share one."""
    images = images_of(trace.calls)
    return images[:: max(row.frames for call in trace.calls for row in call.rows)] if images else images


def _mean_axes(mean: str | Iterable[str]) -> tuple[str, ...]:
    axes = (mean,) if isinstance(mean, str) else tuple(mean)
    if unknown := [axis for axis in axes if axis not in _AXES]:
        raise ParameterError(f"mean over {unknown}: expected some of {list(_AXES)}")
    return axes


def _steps_with(
    trace: Contents, path: str, pick: Pick, call: int | None, rows: Sequence[tuple[str, int]]
) -> Pick:
    """The chosen steps that have the output and the rows; the others are left out, and that is said."""

    def has(number: int) -> bool:
        return trace.records.has(number, path)

    there = [at for at in pick.positions if has_rows(trace.steps[at], call, rows, has)]
    if len(there) == len(pick.positions):
        return pick
    left_out = describe_numbers(sorted(trace.steps[at].index for at in {*pick.positions} - {*there}))
    lacking = f"the output of {path}, or a row of {', '.join(dict.fromkeys(repr(row[0]) for row in rows))}"
    if not there:
        raise SelectionError(f"steps {left_out} all lack {lacking}")
    used = describe_numbers(sorted(trace.steps[at].index for at in there))
    warnings.warn(
        f"mean over steps {used}: steps {left_out} lack {lacking}", PartialMeanWarning, stacklevel=4
    )
    return Pick(there, False)


def _of_row(trace: Contents, path: str, step: Step, call: int | None, branch: str, image: int) -> Tensor:
    of_call, row = row_of(step, call, branch, image)
    if not trace.records.has(of_call.index, path):
        raise SelectionError(f"step {step.index} has no output of {path}: that module did not run there")
    return trace.records.output(of_call.index, path)[row]


def _stacked(path: str, parts: Sequence[Tensor]) -> Tensor:
    if len(shapes := sorted({tuple(part.shape) for part in parts})) > 1:
        raise SelectionError(f"the outputs of {path} have shapes {shapes}: choose steps of one shape")
    return torch.stack(list(parts))


def _reduced(parts: Tensor, picks: Mapping[str, Pick], averaged: Sequence[str]) -> Tensor:
    """Axes of the choice in place of the one of parts, those of a mean and of single choices taken away."""
    whole = parts.reshape(*(len(pick.positions) for pick in picks.values()), *parts.shape[1:])
    over = [at for at, axis in enumerate(picks) if axis in averaged]
    if over:
        whole = whole.to(torch.promote_types(whole.dtype, torch.float32)).mean(over, keepdim=True)
    gone = [at for at, (axis, pick) in enumerate(picks.items()) if axis in averaged or pick.single]
    return whole.squeeze(gone) if gone else whole

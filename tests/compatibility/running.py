"""Runs a case twice, without and with attnscope, and asks its six questions."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

import attnscope
from attnscope.errors import AttnscopeError
from compatibility.case import COLUMNS, Case, Cell, Rows
from compatibility.truth import ModelCall, Seen, watched

RIGHT = Cell("right")


class Wrong(Exception):
    """Something is not as the truth says."""


@dataclass
class Ran:
    """Both runs of a case.

    Attributes:
        case: The case.
        calls: Every call of its models, in order, in the run without attnscope.
        made: What that run made.
        again: What the run under capture made.
        traces: Its passes.
        said: What attnscope warned of.
    """

    case: Case
    calls: list[ModelCall]
    made: list[bytes]
    again: list[bytes]
    size_hw: tuple[int, int] | None
    traces: tuple[Any, ...]
    said: list[str]


def outcome(case: Case) -> dict[str, Cell]:
    """The six cells of a case.

    Args:
        case: The case.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings(record=True))
        warnings.simplefilter("always")
        if case.around is not None:
            stack.enter_context(case.around())
        calls, made, size_hw = _run_alone(case)
        try:
            again, traces, said = _run_captured(case)
        except AttnscopeError as refusal:
            return dict.fromkeys(COLUMNS, Cell("refused", sentence(refusal)))
        except Exception as crash:
            return dict.fromkeys(COLUMNS, Cell("wrong", f"the run under capture breaks: {type(crash).__name__}: {crash}"))
        ran = Ran(case, calls, made, again, size_hw, traces, said)
        return {column: _cell(question, ran) for column, question in zip(COLUMNS, QUESTIONS, strict=True)}


def _cell(question: Callable[[Ran], None], ran: Ran) -> Cell:
    try:
        question(ran)
    except AttnscopeError as refusal:
        return Cell("refused", sentence(refusal))
    except Wrong as wrong:
        return Cell("wrong", str(wrong))
    except Exception as crash:
        return Cell("wrong", f"{type(crash).__name__}: {crash}")
    return RIGHT


def sentence(error: Exception) -> str:
    """An error's text, as one line."""
    return " ".join(str(error).split())


def _run_alone(case: Case) -> tuple[list[ModelCall], list[bytes], tuple[int, int] | None]:
    pipe = _built(case)
    models = [model for model in case.models(pipe) if isinstance(model, nn.Module)]
    with watched(models) as watches:
        made = _called(case, pipe)
    calls = [call for watch in watches for call in watch.calls]
    for call in calls if case.keys else ():
        for path, runs in call.layers.items():
            for seen in runs:
                seen.key = case.keys(seen.key, path)
    return calls, as_bytes(made), picture_size(made)


def _run_captured(case: Case) -> tuple[list[bytes], tuple[Any, ...], list[str]]:
    pipe = _built(case)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with attnscope.capture(case.watched(pipe), **case.options) as trace:
            made = _called(case, pipe)
    said = [str(one.message) for one in heard if "attnscope" in f"{one.category.__module__} {one.filename}"]
    return as_bytes(made), trace.passes, said


def _built(case: Case) -> Any:
    torch.manual_seed(0)
    pipe = case.build()
    with contextlib.suppress(AttributeError):
        pipe.set_progress_bar_config(disable=True)
    return pipe


def _called(case: Case, pipe: Any) -> Any:
    torch.manual_seed(1)
    np.random.seed(1)
    return case.run(pipe)


def as_bytes(made: Any) -> list[bytes]:
    """Everything that a pipeline gave back, as bytes."""
    return [part.tobytes() for part in _arrays(made)]


def picture_size(made: Any) -> tuple[int, int] | None:
    """Height and width of the pictures, None if there are none."""
    arrays = [array for array in _arrays(made) if array.ndim >= 2]
    if not arrays:
        return None
    shape = arrays[0].shape
    return tuple(shape[-3:-1]) if shape[-1] in (1, 3) else tuple(shape[-2:])


def _arrays(made: Any) -> Iterator[np.ndarray]:
    if isinstance(made, Tensor):
        yield made.detach().float().numpy()
    elif isinstance(made, np.ndarray):
        yield made
    elif hasattr(made, "convert"):
        yield np.asarray(made)
    elif hasattr(made, "to_tuple"):
        yield from _arrays(made.to_tuple())
    elif isinstance(made, (list, tuple)):
        for part in made:
            yield from _arrays(part)


# The six questions


def _captured(ran: Ran) -> None:
    """Every call, every step and every attention layer is there, each on its own grid, or its absence is said."""
    taken = [call for trace in ran.traces for call in trace.calls]
    if len(taken) != len(ran.calls):
        raise Wrong(f"{len(taken)} calls are recorded, the model was called {len(ran.calls)} times")
    steps = sum(len(trace.steps) for trace in ran.traces)
    if steps != ran.case.steps and ran.case.options.get("steps") is None:
        raise Wrong(f"{steps} steps are recorded, the scheduler took {ran.case.steps}")
    known = {layer.path for trace in ran.traces for layer in trace.layers}
    if absent := {path for call in ran.calls for path in call.layers} - known:
        if not any("lacks" in text or "not recorded" in text for text in ran.said):
            raise Wrong(f"{len(absent)} attention layer(s) are missing without a word, such as {min(absent)}")
    for (trace, _, _), call in _pairs(ran):
        for path, layer, seen in _layers(trace, call):
            if seen.map_hw is None:
                raise Wrong(f"{path} has the grid {layer.grid}, but its queries are no places of a feature map")
            if tuple(layer.grid) != seen.map_hw:
                raise Wrong(f"{path} has the grid {layer.grid}, its feature map is {seen.map_hw}")


def _unchanged(ran: Ran) -> None:
    if not ran.made:
        raise Wrong("the pipeline made nothing that could be compared")
    if ran.made != ran.again:
        raise Wrong("what the pipeline made is not the same")


def _rows(ran: Ran) -> None:
    calls = [call for trace in ran.traces for call in trace.calls]
    for number, call in enumerate(calls):
        came, right = tuple((row.branch, row.image) for row in call.rows), ran.case.true_rows(number)
        if ran.case.branches is None and ran.case.rows is None:
            right = tuple((came[0][0], image) for _, image in right)
        if came != right:
            raise Wrong(f"call {number} has the rows {_names(came)}; right is {_names(right)}")


def _names(rows: Rows) -> str:
    return ", ".join(f"{branch} {image}" for branch, image in rows)


def _probability(ran: Ran) -> None:
    compared = 0
    for (trace, step, number), call in _pairs(ran):
        for path, layer, seen in _layers(trace, call):
            _compare(ran.case, trace, (step, number), path, seen)
            compared += 1
    if not compared:
        raise Wrong("no layer could be compared")


def _compare(case: Case, trace: Any, where: tuple[Any, int], path: str, seen: Seen) -> None:
    step, number = where
    truth, rows = seen.probability(), step.calls[number].rows
    if len(truth) % len(rows):
        raise Wrong(f"{path}: {len(rows)} rows are recorded, the attention had {len(truth)}")
    if len(truth) != len(rows):
        raise Wrong(f"{path}: {len(rows)} rows are named, the attention had {len(truth)}")
    for at, row in enumerate(rows):
        own = trace.probabilities(layer=path, step=step.index, call=number, branch=row.branch, image=row.image)
        if tuple(own.shape) != tuple(truth[at].shape):
            raise Wrong(f"{path}: P has the shape {tuple(own.shape)}, right is {tuple(truth[at].shape)}")
        off = float((own.double() - truth[at]).abs().max())
        if not off <= case.tolerance:
            raise Wrong(f"{path}: P of call {number} of step {step.index} is off by {off:.2g}")


def _heat_map(ran: Ran) -> None:
    trace, case = ran.traces[0], ran.case
    if case.word is None:
        raise Wrong("a heat map came, though no layer reads a text") if _any_map(trace) else AttnscopeError("")
    own = attnscope.heat_map(trace, case.word).array
    right = true_heat_map(ran)
    if tuple(own.shape) != tuple(right.shape):
        raise Wrong(f"the heat map is {tuple(own.shape)}, right is {tuple(right.shape)}")
    off = float(np.abs(own - right).max())
    if not off <= max(case.tolerance, 2e-6):
        raise Wrong(f"the heat map is off by {off:.2g}; its largest value is {right.max():.2g}")


def _any_map(trace: Any) -> bool:
    return attnscope.heat_map(trace, 0) is not None


def true_heat_map(ran: Ran) -> np.ndarray:
    """By hand, in float64: the mean over steps, layers, heads and tokens of the prompt's row."""
    case = ran.case
    count = len(ran.traces[0].calls)
    calls = ran.calls[:count]
    mains = list(range(count)) if case.mains is None else case.mains(count)
    size = calls[mains[0]].size_hw
    layers: dict[str, list[Tensor]] = {}
    for number in mains:
        row = _cond_row(case, number)
        for path, runs in calls[number].layers.items():
            if not runs[-1].is_cross or runs[-1].map_hw is None:
                continue
            share = runs[-1].probability()[row][:, :, list(case.tokens)].mean((0, 2))
            layers.setdefault(path, []).append(share.reshape(1, 1, *runs[-1].map_hw))
    if not layers:
        raise Wrong("a heat map came, though no layer reads a text")
    means = [torch.stack(of_layer).mean(0) for of_layer in layers.values()]
    resized = [interpolate(mean, size, mode="bilinear", align_corners=False)[0, 0] for mean in means]
    return torch.stack(resized).mean(0).numpy()


def _cond_row(case: Case, number: int) -> int:
    rows = case.true_rows(number)
    return rows.index(("cond", 0)) if ("cond", 0) in rows else 0


def _segments(ran: Ran) -> None:
    found = attnscope.segment_trace(ran.traces[-1])
    labels = np.asarray(found.labels)
    if ran.size_hw is not None and labels.shape != ran.size_hw:
        raise Wrong(f"labels are {labels.shape}, the picture is {ran.size_hw}")
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
        raise Wrong(f"labels are {labels.dtype} from {labels.min()}")


QUESTIONS = (_captured, _unchanged, _rows, _probability, _heat_map, _segments)


def _pairs(ran: Ran) -> Iterator[tuple[tuple[Any, Any, int], ModelCall]]:
    """Each recorded call, as (trace, step, number in the step), with the true one."""
    taken = [
        (call.index, (trace, step, number))
        for trace in ran.traces
        for step in trace.steps
        for number, call in enumerate(step.calls)
    ]
    yield from zip(_in_order(ran, taken), ran.calls, strict=False)


def _in_order(ran: Ran, taken: list[Any]) -> list[Any]:
    order, start = [], 0
    for trace in ran.traces:
        of_pass = sorted(taken[start : start + len(trace.calls)], key=lambda entry: entry[0])
        order += [where for _, where in of_pass]
        start += len(trace.calls)
    return order


def _layers(trace: Any, call: ModelCall) -> Iterator[tuple[str, Any, Seen]]:
    """Each recorded layer with what it really computed in one call."""
    for layer in trace.layers:
        if runs := call.layers.get(layer.path):
            yield layer.path, layer, runs[-1]


@functools.cache
def outcomes_of(name: str) -> dict[str, Cell]:
    """The cells of a case, run once a process.

    Args:
        name: The case's name.
    """
    from compatibility.cases import CASES

    return outcome(CASES[name])

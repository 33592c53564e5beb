"""The six questions that are asked of a case, once it has run without attnscope and under capture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

import attnscope
from attnscope.errors import AttnscopeError
from compatibility.case import Case, Rows
from compatibility.truth import ModelCall


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
        size_hw: Height and width of the pictures, None if there are none.
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

    @property
    def asked(self) -> Any:
        """The pass whose heat map and segments are asked for."""
        return self.traces[self.case.asked]


def _captured(ran: Ran) -> None:
    """Every call, every step and every attention layer is there, each on its own grid, or its absence is said."""
    taken = [call for trace in ran.traces for call in trace.calls]
    steps = sum(len(trace.steps) for trace in ran.traces)
    if len(taken) != len(ran.calls) and not ran.case.is_partial:
        raise Wrong(f"{len(taken)} calls are recorded, the model was called {len(ran.calls)} times")
    if steps != ran.case.steps:
        raise Wrong(f"{steps} steps are recorded, the scheduler took {ran.case.steps}")
    known = {layer.path for trace in ran.traces for layer in trace.layers}
    absent = {path for call in ran.calls for path in call.layers if ran.case.counts(path)} - known
    said = ran.case.is_partial or any("lacks" in text or "not recorded" in text for text in ran.said)
    if absent and not said:
        raise Wrong(f"{len(absent)} attention layer(s) are missing without a word, such as {min(absent)}")
    for (trace, _, _), _, call in _pairs(ran):
        for layer, seen in _layers(trace, call):
            if seen.map_hw is None:
                raise Wrong(
                    f"{layer.path} has the grid {layer.grid}, but its queries are no places of a feature map"
                )
            if tuple(layer.grid) != seen.map_hw:
                raise Wrong(f"{layer.path} has the grid {layer.grid}, its feature map is {seen.map_hw}")


def _unchanged(ran: Ran) -> None:
    if not ran.made:
        raise Wrong("the pipeline made nothing that could be compared")
    if ran.made != ran.again:
        raise Wrong("what the pipeline made is not the same")


def _rows(ran: Ran) -> None:
    for number, call in _numbered(ran):
        came, right = tuple((row.branch, row.image) for row in call.rows), ran.case.kept_rows(number)
        if ran.case.branches is None and ran.case.rows is None:
            right = tuple((came[0][0], image) for _, image in right)
        if came != right:
            raise Wrong(f"call {number} has the rows {_names(came)}; right is {_names(right)}")


def _names(rows: Rows) -> str:
    return ", ".join(f"{branch} {image}" for branch, image in rows)


def _probability(ran: Ran) -> None:
    compared = 0
    for (trace, step, number), at, call in _pairs(ran):
        for layer, seen in _layers(trace, call):
            _compare(ran.case, trace, (step, number, at), layer, seen)
            compared += 1
    if not compared:
        raise Wrong("no layer could be compared")


def _compare(case: Case, trace: Any, where: tuple[Any, int, int], layer: Any, seen: Any) -> None:
    step, number, at = where
    truth, rows = seen.probability(), step.calls[number].rows
    places = case.row_numbers(at, len(rows))
    of_batch = len(case.true_rows(at))
    if len(truth) != of_batch and not case.rows_apart:
        raise Wrong(f"{layer.path}: {len(rows)} rows are named, the attention had {len(truth)}")
    for place, row in zip(places, rows, strict=True):
        chosen = {"step": step.index, "call": number, "branch": row.branch, "image": row.image}
        if place >= len(truth):
            _must_be_refused(trace, layer, chosen)
            continue
        whole, said = truth[place], f"{layer.path}: P of call {number} of step {step.index}"
        _same(trace.probabilities(layer=layer, **chosen), whole, case.tolerance, said)
        for relation, (queries, keys) in seen.relations.items():
            part = trace.probabilities(layer=layer, relation=relation, **chosen)
            _same(part, whole[:, queries, keys], case.tolerance, f"{said}, {relation}")


def _same(own: Tensor, right: Tensor, tolerance: float, where: str) -> None:
    if tuple(own.shape) != tuple(right.shape):
        raise Wrong(f"{where} has the shape {tuple(own.shape)}, right is {tuple(right.shape)}")
    off = float((own.double() - right).abs().max())
    if not off <= tolerance:
        raise Wrong(f"{where} is off by {off:.2g}")


def _must_be_refused(trace: Any, layer: Any, chosen: dict[str, Any]) -> None:
    try:
        trace.probabilities(layer=layer, **chosen)
    except AttnscopeError:
        return
    raise Wrong(
        f"{layer.path}: the branch {chosen['branch']!r} has a P, though the layer computed none for its rows"
    )


def _heat_map(ran: Ran) -> None:
    trace, case = ran.asked, ran.case
    own = attnscope.heat_map(trace, 0 if case.word is None else case.word).array
    if case.word is None:
        raise Wrong("a heat map came, though no layer reads a text")
    right = true_heat_map(ran)
    if tuple(own.shape) != tuple(right.shape):
        raise Wrong(f"the heat map is {tuple(own.shape)}, right is {tuple(right.shape)}")
    off = float(np.abs(own - right).max())
    if not off <= max(case.tolerance, 2e-6):
        raise Wrong(f"the heat map is off by {off:.2g}; its largest value is {right.max():.2g}")


def true_heat_map(ran: Ran) -> np.ndarray:
    """By hand, in float64: the mean over steps, layers, heads and tokens of the prompt's row."""
    case, trace = ran.case, ran.asked
    before = sum(1 + max(call.index for call in earlier.calls) for earlier in ran.traces[: case.asked])
    count = 1 + max(call.index for call in trace.calls)
    recorded, known = {call.index for call in trace.calls}, {layer.path for layer in trace.layers}
    mains = list(range(count)) if case.mains is None else case.mains(count)
    size = ran.calls[before + mains[0]].size_hw
    layers: dict[str, list[Tensor]] = {}
    for number in [main for main in mains if main in recorded]:
        row = _cond_row(case, before + number)
        for path, runs in ran.calls[before + number].layers.items():
            if not runs or not runs[-1].is_cross or runs[-1].map_hw is None or path not in known:
                continue
            layers.setdefault(path, []).append(runs[-1].share(row, case.tokens))
    if not layers:
        raise Wrong("a heat map came, though no layer reads a text")
    means = [torch.stack(of_layer).mean(0) for of_layer in layers.values()]
    resized = [interpolate(mean, size, mode="bilinear", align_corners=False)[0, 0] for mean in means]
    return torch.stack(resized).mean(0).numpy()


def _cond_row(case: Case, number: int) -> int:
    rows = case.true_rows(number)
    return rows.index(("cond", 0)) if ("cond", 0) in rows else 0


def _segments(ran: Ran) -> None:
    found = attnscope.segment_trace(ran.asked)
    labels = np.asarray(found.labels)
    if ran.size_hw is not None and labels.shape != ran.size_hw:
        raise Wrong(f"labels are {labels.shape}, the picture is {ran.size_hw}")
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
        raise Wrong(f"labels are {labels.dtype} from {labels.min()}")


QUESTIONS = (_captured, _unchanged, _rows, _probability, _heat_map, _segments)


def _numbered(ran: Ran) -> Iterator[tuple[int, Any]]:
    """Each recorded call with its number among the true ones."""
    start = 0
    for trace in ran.traces:
        for call in trace.calls:
            yield start + call.index, call
        start += max((call.index for call in trace.calls), default=-1) + 1


def _pairs(ran: Ran) -> Iterator[tuple[tuple[Any, Any, int], int, ModelCall]]:
    """Each recorded call, as (trace, step, number in the step), with the number of the true one and that call."""
    start = 0
    for trace in ran.traces:
        for step in trace.steps:
            for number, call in enumerate(step.calls):
                if start + call.index < len(ran.calls):
                    yield (trace, step, number), start + call.index, ran.calls[start + call.index]
        start += max((call.index for call in trace.calls), default=-1) + 1


def _layers(trace: Any, call: ModelCall) -> Iterator[tuple[Any, Any]]:
    """Each recorded layer with what it really computed in one call."""
    pictures: dict[str, int] = {}
    for layer in trace.layers:
        if not (runs := call.layers.get(layer.path)):
            continue
        if layer.kind.startswith("image"):
            number = pictures[layer.path] = pictures.get(layer.path, -1) + 1
            yield layer, runs[-1].of_picture(number)
        else:
            yield layer, runs[-1]

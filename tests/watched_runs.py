"""A run of a transformer's pipeline without and with a capture, and what the capture must have seen of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import torch

import attnscope
from attnscope.records.relations import relations
from transformer_cases import seen_attention


def watched(
    pipe: Any,
    run: Callable[[], Any],
    *,
    skipped: Collection[tuple[str, str]] = (),
    left_out: Collection[str] = (),
    model: Any = None,
    atol: float = 1e-6,
) -> Any:
    """The trace of a run: its picture is the same to the bit, and each row of each layer is what was computed.

    Args:
        pipe: The pipeline.
        run: Calls it, and gives its picture.
        skipped: Pairs of a module's path and a branch in which it does not run.
        left_out: Paths of modules that are not recorded.
        model: Its U-Net or transformer, where that is not `pipe.transformer`.
        atol: How far P may be from float64's. Float32 rounds larger scores further.
    """
    model = pipe.transformer if model is None else model
    with seen_attention(model) as seen:
        plain = run()
    with attnscope.capture(pipe) as trace:
        made = run()
    assert np.array_equal(plain, made)
    assert not any(module._forward_hooks or "forward" in vars(module) for module in model.modules())
    rows = [(call.step, row.branch, row.image) for call in trace.calls for row in call.rows]
    assert {layer.path for layer in trace.layers} == set(seen) - set(left_out)
    for layer in trace.layers:
        for (step, branch, image), truth in zip(
            [row for row in rows if (layer.path, row[1]) not in skipped],
            _rows_of(layer, trace.layers, seen[layer.path]),
            strict=True,
        ):
            p = trace.probabilities(layer=layer, step=step, branch=branch, image=image)
            torch.testing.assert_close(p.double(), truth, rtol=0, atol=atol)
    return trace


def _rows_of(layer: Any, layers: Any, computed: list[torch.Tensor]) -> list[torch.Tensor]:
    """The rows of one attention of a module: adapters add others, of another number of keys or alike in turn."""
    alike = [other for other in layers if other.path == layer.path and other.keys == layer.keys]
    own = [truth for truth in computed if truth.shape[-1] == layer.keys]
    return [row for truth in own[alike.index(layer) :: len(alike)] for row in truth]


def assert_cut(trace: Any, queries: Mapping[str, int], keys: Mapping[str, int] | None = None) -> None:
    """Every relation of the joint layers is cut where the parts lie.

    Args:
        trace: The trace.
        queries: Lengths of the parts of the queries in their order, by hand.
        keys: The same of the keys; None: they are the queries.
    """
    of_queries, of_keys = _spans(queries), _spans(queries if keys is None else keys)
    for layer in trace.layers.of_kind("joint"):
        assert set(relations(layer)) == {f"{query}->{key}" for query in of_queries for key in of_keys}
        for step, branch in {(call.step, row.branch) for call in trace.calls for row in call.rows}:
            choice = {"step": step, "branch": branch, "image": 0}
            whole = trace.probabilities(layer=layer, **choice)
            for query, key in itertools.product(of_queries, of_keys):
                part = trace.probabilities(layer=layer, relation=f"{query}->{key}", **choice)
                assert torch.equal(part, whole[:, of_queries[query], of_keys[key]])


def branches(trace: Any) -> list[tuple[str, ...]]:
    """The branches of the rows of each call.

    Args:
        trace: The trace.
    """
    return [tuple(row.branch for row in call.rows) for call in trace.calls]


def words(trace: Any, branch: str = "cond") -> list[str]:
    """The words of a branch's text.

    Args:
        trace: The trace.
        branch: The branch.
    """
    return [span.word for span in trace.words(branch=branch)]


def _spans(lengths: Mapping[str, int]) -> dict[str, slice]:
    ends = list(itertools.accumulate(lengths.values()))
    return {name: slice(end - length, end) for (name, length), end in zip(lengths.items(), ends, strict=True)}

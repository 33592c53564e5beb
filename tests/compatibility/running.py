"""Runs a case twice, without and with attnscope, and asks its six questions."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import attnscope
from attnscope.errors import AttnscopeError
from compatibility.case import COLUMNS, Case, Cell
from compatibility.questions import QUESTIONS, Ran, Wrong
from compatibility.truth import ModelCall

RIGHT = Cell("right")


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
        try:
            again, traces, said = _run_captured(case)
        except AttnscopeError as refusal:
            return dict.fromkeys(COLUMNS, _refused(case, refusal))
        except Exception as crash:
            _run_alone(case)  # it breaks without a capture, too: then the case is wrong, and says so
            text = f"the run under capture breaks: {type(crash).__name__}: {sentence(crash)}"
            return dict.fromkeys(COLUMNS, Cell("wrong", text))
        calls, made, size_hw = _run_alone(case)
        ran = Ran(case, calls, made, again, size_hw, traces, said)
        return {column: _cell(question, ran) for column, question in zip(COLUMNS, QUESTIONS, strict=True)}


FALSE_CAUSES = (
    "was cut off", "the prompt is empty", "captured with kind", "columns are [", "token number from 0 to -1",
    "capture without kind='",
)  # fmt: skip
"""What is said of a run of which it isn't true: every prompt here is short, and is given as a text."""


def _refused(case: Case, refusal: AttnscopeError) -> Cell:
    text = sentence(refusal)
    if "kind" in case.options or not any(cause in text for cause in FALSE_CAUSES):
        return Cell("refused", text)
    return Cell("wrong", f"refused for a cause that is not true: {text}")


def _cell(question: Callable[[Ran], None], ran: Ran) -> Cell:
    try:
        question(ran)
    except AttnscopeError as refusal:
        return _refused(ran.case, refusal)
    except Wrong as wrong:
        return Cell("wrong", str(wrong))
    except Exception as crash:
        return Cell("wrong", f"{type(crash).__name__}: {crash}")
    return RIGHT


def sentence(error: Exception) -> str:
    """An error's text, as one line of at most 500 letters; of a file only the name, which is the same everywhere."""
    text = re.sub(r"(?<![\w.])/[\w./+-]+/(?=[\w.-]+\.py:)", "", " ".join(str(error).split()))
    return text if len(text) <= 500 else f"{text[:497]}..."


def _run_alone(case: Case) -> tuple[list[ModelCall], list[bytes], tuple[int, int] | None]:
    pipe = made_pipe(case)
    models = [model for model in case.models(pipe) if isinstance(model, nn.Module)]
    with case.watch(models) as watches:
        made = called(case, pipe)
    calls = [call for watch in watches for call in watch.calls]
    _change(calls, case)
    return calls, as_bytes(made), picture_size(made)


def _change(calls: list[ModelCall], case: Case) -> None:
    """What the case's processors make of keys and of P."""
    if case.edit is None and case.keys is None:
        return
    for call in calls:
        for path, runs in call.layers.items():
            for seen in runs:
                seen.edit = case.edit
                seen.key = seen.key if case.keys is None else case.keys(seen.key, path)


def _run_captured(case: Case) -> tuple[list[bytes], tuple[Any, ...], list[str]]:
    pipe = made_pipe(case)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with attnscope.capture(case.watched(pipe), **case.options) as trace:
            made = called(case, pipe)
    said = [str(one.message) for one in heard if "attnscope" in f"{one.category.__module__} {one.filename}"]
    return as_bytes(made), trace.passes, said


def made_pipe(case: Case) -> Any:
    """The pipeline of a case, the same at every call.

    Args:
        case: The case.
    """
    torch.manual_seed(0)
    pipe = case.build()
    with contextlib.suppress(AttributeError):
        pipe.set_progress_bar_config(disable=True)
    return pipe


def called(case: Case, pipe: Any) -> Any:
    """What a case's run gives, with every source of chance set.

    Args:
        case: The case.
        pipe: From `made_pipe`.
    """
    torch.manual_seed(1)
    np.random.seed(1)
    return case.run(pipe)


def as_bytes(made: Any) -> list[bytes]:
    """Everything that a pipeline gave back, as bytes."""
    return [_array(part).tobytes() for part in _parts(made)]


def picture_size(made: Any) -> tuple[int, int] | None:
    """Height and width of the pictures; None for sound."""
    first = next(_parts(made), None)
    if hasattr(first, "convert"):
        return first.height, first.width
    shape = () if first is None else _array(first).shape
    if len(shape) < 3:
        return None
    return tuple(shape[-3:-1]) if shape[-1] in (1, 2, 3, 6) else tuple(shape[-2:])


def _array(part: Any) -> np.ndarray:
    return part.detach().float().numpy() if isinstance(part, Tensor) else np.asarray(part)


def _parts(made: Any) -> Iterator[Any]:
    if isinstance(made, (Tensor, np.ndarray)) or hasattr(made, "convert"):
        yield made
    elif hasattr(made, "to_tuple"):
        yield from _parts(made.to_tuple())
    elif isinstance(made, (list, tuple)):
        for part in made:
            yield from _parts(part)

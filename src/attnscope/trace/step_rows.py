"""Which call of a step, and which row of its batch, answers for a branch of an image."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from attnscope.errors import SelectionError
from attnscope.records import Call, Row, Step


class MissingRowError(SelectionError):
    """A step lacks the batch row of a branch or an image."""


class PartialMeanWarning(UserWarning):
    """A mean over steps leaves out some that lack the layer or the branch."""


def call_of(step: Step, number: int | None, branch: str | None = None) -> Call:
    """One call of a step.

    Args:
        step: The step.
        number: Number of the call in the step, from 0. None is the one that predicts.
        branch: The branch that it predicts. None: the step's main call.

    Raises:
        SelectionError: The step has no such call, or several calls look like the one that predicts.
    """
    if number is None:
        main = step.main if branch is None else step.main_of(branch)
        if main is None:
            raise MissingRowError(
                f"step {step.index} has no row for branch {branch!r}; it has {_listed(step.rows)}"
            )
        if len(views := step.views_of(main)) > 1:
            raise SelectionError(
                f"step {step.index} has {len(views)} calls of the model that look alike, such as the views of a "
                f"panorama: choose one with call=, from 0 to {len(step.calls) - 1}"
            )
        return main
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(step.calls):
        raise SelectionError(f"call {number!r}: step {step.index} has calls 0 to {len(step.calls) - 1}")
    return step.calls[number]


def row_of(step: Step, number: int | None, branch: str, image: int) -> tuple[Call, int]:
    """The batch row of an image's branch in a step: its call and its number there.

    Args:
        step: The step.
        number: Number of the call in the step, from 0. None is the one that predicts the branch.
        branch: Name of the branch.
        image: Number of the image.

    Raises:
        SelectionError: The step lacks the call or the row.
    """
    call = call_of(step, number, branch)
    for at, row in enumerate(call.rows):
        if row.branch == branch and image in row.images:
            return call, at
    raise MissingRowError(
        f"step {call.step} has no row for branch {branch!r}, image {image}; it has {_listed(call.rows)}"
    )


def has_rows(
    step: Step, number: int | None, rows: Iterable[tuple[str, int]], has: Callable[[int], bool]
) -> bool:
    """Whether a step has some rows, and their calls have what is asked for.

    Args:
        step: The step.
        number: As for `row_of`.
        rows: Branches, each with the number of an image.
        has: Whether a call, by its number, has it.

    Raises:
        SelectionError: Several calls of the step look alike.
    """
    try:
        calls = {row_of(step, number, branch, image)[0].index for branch, image in rows}
    except MissingRowError:
        return False
    return all(map(has, calls))


def _listed(rows: Iterable[Row]) -> list[tuple[str, int]]:
    return [(row.branch, row.image) for row in rows]

"""Options of how segments are found, which several commands have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from attnscope.errors import ParameterError

if TYPE_CHECKING:
    from attnscope.segmentation.methods.diffseg import Thresholds

Method = Annotated[
    Literal["diffseg", "ncut", "diffcut", "words"],
    typer.Option(
        "--method", metavar="METHOD", help="How segments are found: diffseg, ncut, diffcut or words."
    ),
]
Threshold = Annotated[
    list[str] | None,
    typer.Option(
        "--threshold",
        "--thresholds",
        "-t",
        metavar="NATS|auto",
        help="Larger values give fewer segments; auto finds one for each picture. Repeat the option for one per pass.",
    ),
]


def thresholds_of(texts: list[str] | None) -> Thresholds | None:
    """Thresholds as `attnscope.segment` takes them.

    Args:
        texts: As they are typed.

    Raises:
        ParameterError: They are neither numbers nor auto alone.
    """
    if not texts:
        return None
    if texts == ["auto"]:
        return "auto"
    try:
        numbers = [float(text) for text in texts]
    except ValueError as cause:
        raise ParameterError(
            f"--threshold {' '.join(texts)}: expected numbers in nats, or auto alone"
        ) from cause
    return numbers[0] if len(numbers) == 1 else numbers

"""matplotlib's axes and their titles, for the results that can draw themselves."""

from __future__ import annotations

from typing import Any

from attnscope.errors import missing_extra
from attnscope.pictures.lettering import line_of


def new_axes() -> Any:
    """Axes of a new figure.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    return _pyplot().subplots(layout="constrained")[1]


def new_row(count: int) -> Any:
    """Several axes side by side, as an array, of a new figure.

    Args:
        count: How many.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    return _pyplot().subplots(1, count, figsize=(3 * count, 3.4), squeeze=False, layout="constrained")[1][0]


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise missing_extra("plot", "matplotlib", "plot") from error
    return plt


def write_title(axes: Any, text: str) -> None:
    """A title in any script, with the fonts that have its letters; dollar signs start no formula.

    Args:
        axes: matplotlib axes.
        text: The title.

    Warns:
        FontWarning: A letter is missing on this machine.
    """
    from matplotlib import rcParams
    from matplotlib.font_manager import FontProperties, fontManager

    line = line_of(text, 12)
    for file in line.files:
        fontManager.addfont(file)
    names = [FontProperties(fname=file).get_name() for file in line.files]
    axes.set_title(line.text, parse_math=False, fontfamily=[*rcParams["font.family"], *names])

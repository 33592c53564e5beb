"""matplotlib's axes, for the results that can draw themselves."""

from __future__ import annotations

from typing import Any

from attnscope.errors import MissingExtraError


def new_axes() -> Any:
    """Axes of a new figure.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise MissingExtraError("plot needs matplotlib: pip install 'attnscope[plot]'") from error
    return plt.subplots(layout="constrained")[1]

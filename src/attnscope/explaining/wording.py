"""Numbers and words as sentences have them."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite


def percent(share: float, *, whole: bool = False) -> str:
    """A share as text: 4.2 %, and as many digits as it takes to be no 0.

    Args:
        share: 0..1.
        whole: Without digits after the point.

    >>> percent(0.042), percent(0.00012), percent(0.0), percent(0.042, whole=True)
    ('4.2 %', '0.012 %', '0 %', '4 %')
    """
    if whole:
        return f"{100 * share:.0f} %"
    if share == 0 or not isfinite(share):
        return "0 %"
    return f"{100 * share:.1f} %" if share >= 0.001 else f"{100 * share:.2g} %"


def listed(words: Sequence[str]) -> str:
    """Words as a list in a sentence: 'red', 'house' and 'grass'.

    Args:
        words: The words.
    """
    quoted = [repr(word) for word in words]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"

"""Keys that are no words: the tokens of an IP-Adapter's pictures, by number or by the picture's name."""

from __future__ import annotations

from typing import Any

import numpy as np

from attnscope.errors import SelectionError
from attnscope.records import Kind, TokenSpan
from attnscope.trace.trace import Trace


def picture_span(trace: Trace, name: Any, kind: Kind) -> TokenSpan:
    """The tokens of one picture, or one of them.

    Args:
        trace: Of one pass.
        name: A token number, or a picture as in `Layer.parts`, such as 'adapter 1, picture 2'.
        kind: Kind of the attention, such as 'image'.

    Raises:
        SelectionError: The trace has no such attention, or that no such picture or token.
    """
    if isinstance(name, TokenSpan):
        return name
    layer = trace.layers_of_kind(kind)[0]
    is_number = isinstance(name, (int, np.integer)) or (isinstance(name, str) and name.isdecimal())
    if is_number and 0 <= int(name) < layer.keys:
        return TokenSpan(f"{kind} [{int(name)}]", 0, 0, (int(name),))
    if any(part.name == name for part in layer.parts):
        return TokenSpan(str(name), 0, 0, tuple(layer.keys_of(str(name))))
    names = ", ".join(repr(part.name) for part in layer.parts)
    raise SelectionError(
        f"{name!r}: the keys of {kind!r} are tokens 0 to {layer.keys - 1} of {names or 'pictures'}; give a number or "
        "a picture's name"
    )


def picture_spans(trace: Trace, kind: Kind) -> list[TokenSpan]:
    """Every token of an adapter's pictures, one by one.

    Args:
        trace: Of one pass.
        kind: Kind of the attention, such as 'image'.

    Raises:
        SelectionError: The trace has no such attention.
    """
    return [picture_span(trace, number, kind) for number in range(trace.layers_of_kind(kind)[0].keys)]

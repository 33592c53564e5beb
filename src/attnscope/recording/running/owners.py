"""One capture at a time for each module: whoever comes second is refused before anything is put on.

Edits are owners of another kind: those of one thread may lie inside each other, and a capture may be beside them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import Literal

from torch import nn

from attnscope.errors import CaptureError

Purpose = Literal["capture", "graph", "edit"]


class _Owner:
    """One capture or edit that is entered, and its thread."""

    def __init__(self) -> None:
        self.thread = threading.current_thread()


_OWNERS: dict[tuple[Purpose, int], _Owner] = {}
"""By the id() of a module, which its capture holds. `setdefault` is one step: no two threads own a module."""


def own(modules: Iterable[nn.Module], *, purpose: Purpose = "capture") -> Callable[[], None]:
    """Make a capture the owner of modules.

    Args:
        modules: The models, and all their layers that are watched.
        purpose: "edit" owns them beside captures, and "graph", a capture for a gradient, beside both.

    Returns:
        Gives them back.

    Raises:
        CaptureError: Another capture owns one of them.
    """
    mine = _Owner()
    owned: list[tuple[Purpose, int]] = []
    for number in dict.fromkeys(map(id, modules)):
        owner = _OWNERS.setdefault((purpose, number), mine)
        if owner is mine:
            owned.append((purpose, number))
        elif purpose != "edit" or owner.thread is not mine.thread:
            _give_back(owned)
            raise CaptureError(_taken_by(owner, purpose))
    return partial(_give_back, owned)


def _give_back(owned: list[tuple[Purpose, int]]) -> None:
    while owned:
        _OWNERS.pop(owned.pop(), None)


def _taken_by(owner: _Owner, purpose: Purpose) -> str:
    if purpose == "edit":
        return (
            f"this model is being edited already, by thread {owner.thread.name!r}: let edits of one model take turns, "
            "`with lock, attnscope.edit(pipe, ...):` with one threading.Lock() for all threads"
        )
    if owner.thread is threading.current_thread():
        return "this model is being captured already: leave that capture first"
    return (
        f"this model is being captured already, by thread {owner.thread.name!r}: let captures of one model take "
        "turns, `with lock, attnscope.capture(pipe) as trace:` with one threading.Lock() for all threads"
    )

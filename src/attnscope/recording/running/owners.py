"""One capture at a time for each module: whoever comes second is refused before anything is put on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import partial

from torch import nn

from attnscope.errors import CaptureError


class _Owner:
    """One capture that is entered, and its thread."""

    def __init__(self) -> None:
        self.thread = threading.current_thread()


_OWNERS: dict[int, _Owner] = {}
"""By the id() of a module, which its capture holds. `setdefault` is one step: no two threads own a module."""


def own(modules: Iterable[nn.Module]) -> Callable[[], None]:
    """Make a capture the owner of modules.

    Args:
        modules: The models, and all their layers that are watched.

    Returns:
        Gives them back.

    Raises:
        CaptureError: Another capture owns one of them.
    """
    mine = _Owner()
    owned: list[int] = []
    for number in dict.fromkeys(map(id, modules)):
        owner = _OWNERS.setdefault(number, mine)
        if owner is not mine:
            _give_back(owned)
            raise CaptureError(_taken_by(owner))
        owned.append(number)
    return partial(_give_back, owned)


def _give_back(owned: list[int]) -> None:
    while owned:
        _OWNERS.pop(owned.pop(), None)


def _taken_by(owner: _Owner) -> str:
    if owner.thread is threading.current_thread():
        return "this model is being captured already: leave that capture first"
    return (
        f"this model is being captured already, by thread {owner.thread.name!r}: let captures of one model take "
        "turns, `with lock, attnscope.capture(pipe) as trace:` with one threading.Lock() for all threads"
    )

"""What was asked for last, kept as long as it fits, for several threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """Values that were asked for last.

    Args:
        most: How many bytes they may have together.
        size_of: Bytes of one of them.
        keeps_newest: Keep the newest whatever its size, since it is asked for again and again.
    """

    def __init__(self, most: int, size_of: Callable[[Value], int], *, keeps_newest: bool = False) -> None:
        self._most, self._size_of, self._least = most, size_of, int(keeps_newest)
        self._kept: OrderedDict[Key, Value] = OrderedDict()
        self._lock = threading.Lock()
        self.bytes = 0
        """Of all that is kept."""

    def __getstate__(self) -> dict[str, Any]:
        """A copy is empty, and makes its own."""
        return {"most": self._most, "size_of": self._size_of, "keeps_newest": bool(self._least)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """A value, made if it is not here. Two threads may make it at the same time; the first one's is kept.

        Args:
            key: Which one.
            make: Makes it.
        """
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        value = make()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = value
                self.bytes += self._size_of(value)
            while self.bytes > self._most and len(self._kept) > self._least:
                self.bytes -= self._size_of(self._kept.popitem(last=False)[1])
        return value

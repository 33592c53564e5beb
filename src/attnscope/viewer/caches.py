"""A cache with a bound in bytes, for several threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable


class ByteCache:
    """Keeps the answers used last, at most `limit` bytes of them."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._kept: OrderedDict[Hashable, bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        """The answer for a key, made if it is not there; two threads may make it at the same time."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        answer = make()
        with self._lock:
            self._bytes += len(answer) - len(self._kept.get(key, b""))
            self._kept[key] = answer
            self._kept.move_to_end(key)
            while self._bytes > self.limit:
                _, dropped = self._kept.popitem(last=False)
                self._bytes -= len(dropped)
        return answer

    @property
    def bytes(self) -> int:
        return self._bytes

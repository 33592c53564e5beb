"""Records that were read last, kept as long as they fit."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from attnscope.records import LayerId
from attnscope.records.qkv import Record

At = tuple[int, int, LayerId]
"""Number of the pass, number of the call in it, layer."""


class RecentRecords:
    """Records that were read last. The newest is kept whatever its size: a question asks for it row by row.

    Args:
        most: How many bytes the others may have together with it.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes = 0
        self._kept: OrderedDict[At, Record] = OrderedDict()
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """A copy reads for itself."""
        return {"_most": self._most}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["_most"])  # type: ignore[misc]

    def get(self, at: At, read: Callable[[], Record]) -> Record:
        """A record, read if it is not here.

        Args:
            at: Which one.
            read: Reads it.
        """
        with self._lock:
            if at in self._kept:
                self._kept.move_to_end(at)
                return self._kept[at]
        record = read()
        with self._lock:
            if at not in self._kept:
                self._kept[at], self._bytes = record, self._bytes + _size(record)
            while self._bytes > self._most and len(self._kept) > 1:
                self._bytes -= _size(self._kept.popitem(last=False)[1])
        return record


def _size(record: Record) -> int:
    return sum(tensor.nbytes for tensor in record.tensors.values())

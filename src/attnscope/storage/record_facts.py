"""What the manifest says of one record besides its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from attnscope.storage.plain import number

_PARTS = ("query", "key", "value", "mask")


class RecordFacts(NamedTuple):
    """What a record is besides its tensors.

    Attributes:
        parts: Names of its tensors.
        scale: Factor before the softmax.
        upcast: Whether the model asks for float32 scores.
        crc32: CRC-32 of each part; empty in version 1.
        rows: Numbers of the call's rows that it holds; None is all.
    """

    parts: tuple[str, ...]
    scale: float
    upcast: bool
    crc32: Mapping[str, int] = {}
    rows: tuple[int, ...] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON. Rows are left out where a record holds all of them."""
        plain = self._asdict()
        if self.rows is None:
            del plain["rows"]
        return plain


def parse_facts(item: Mapping[str, Any], version: int, rows: int) -> RecordFacts:
    """Facts from plain values.

    Args:
        item: As `RecordFacts.as_dict` gave them.
        version: Version of the format.
        rows: How many rows the record's call has.

    Raises:
        KeyError, TypeError, ValueError: They are no facts of a record.
    """
    parts = tuple(item["parts"])
    if not {"query", "key"} <= set(parts) <= set(_PARTS):
        raise ValueError(f"record with parts {parts}")
    sums = {}
    if version > 1:
        sums = {part: number(item["crc32"][part], least=0, most=2**32 - 1) for part in parts}
    return RecordFacts(
        parts, float(item["scale"]), bool(item["upcast"]), sums, _parse_rows(item.get("rows"), rows)
    )


def _parse_rows(rows: Any, of_rows: int) -> tuple[int, ...] | None:
    if rows is None:
        return None
    numbers = tuple(number(row, least=0, most=of_rows - 1) for row in rows)
    if not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(f"a record of rows {numbers}")
    return numbers

"""What the manifest says of one record besides its tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from attnscope.storage.digests import crc32, digest
from attnscope.storage.values import flag, items, number, real

_PARTS = ("query", "key", "value", "mask", "edited")


class RecordFacts(NamedTuple):
    """What a record is besides its tensors.

    Attributes:
        parts: Names of its tensors.
        scale: Factor before the softmax.
        upcast: Whether the model asks for float32 scores.
        digest: Digest of each part; empty in earlier traces.
        rows: Numbers of the call's rows that it holds; None is all.
        crc32: CRC-32 of each part, which some earlier traces have instead.
    """

    parts: tuple[str, ...]
    scale: float
    upcast: bool
    digest: Mapping[str, int] = {}
    rows: tuple[int, ...] | None = None
    crc32: Mapping[str, int] = {}

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON. Rows are left out where a record holds all of them."""
        plain = self._asdict()
        for name in ("rows", "crc32"):
            if not plain[name]:
                del plain[name]
        return plain

    def sum_of(self, part: str) -> tuple[int | None, Callable[[Tensor], int]]:
        """What is known of a part's bytes, and how it is computed.

        Args:
            part: Name of the tensor.
        """
        return (self.crc32[part], crc32) if self.crc32 else (self.digest.get(part), digest)


def parse_facts(item: Mapping[str, Any], version: int, rows: int) -> RecordFacts:
    """Facts from plain values.

    Args:
        item: As `RecordFacts.as_dict` gave them.
        version: Version of the format.
        rows: How many rows the record's call has.

    Raises:
        KeyError, TypeError, ValueError: They are no facts of a record.
    """
    parts = tuple(items(item["parts"]))
    if not {"query", "key"} <= set(parts) <= set(_PARTS) or len(set(parts)) < len(parts):
        raise ValueError(f"record with parts {ascii(parts)[:200]}")
    sums: dict[str, dict[str, int]] = {}
    if version > 1:
        name = "crc32" if "digest" not in item and "crc32" in item else "digest"
        sums[name] = {part: number(item[name][part], least=0, most=2**32 - 1) for part in parts}
    return RecordFacts(
        parts, real(item["scale"]), flag(item["upcast"]), rows=_parse_rows(item.get("rows"), rows), **sums
    )


def _parse_rows(rows: Any, of_rows: int) -> tuple[int, ...] | None:
    if rows is None:
        return None
    numbers = tuple(number(row, least=0, most=of_rows - 1) for row in items(rows))
    if not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(f"a record of rows {numbers}")
    return numbers

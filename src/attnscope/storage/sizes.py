"""Sizes of memory, as people write them."""

from __future__ import annotations

from attnscope.errors import ParameterError
from attnscope.storage.room import free_memory

UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "B": 1}


def parse_bytes(size: int | str) -> int:
    """A size as a number of bytes.

    Args:
        size: '2GB', '500 MB', '1.5GiB', a number of bytes, at least 1, or '80%', a share of the memory that is free.

    Raises:
        ParameterError: It is no such size.

    >>> parse_bytes("1.5 GB")
    1500000000
    """
    text = str(size).strip().upper()
    if text.endswith("%"):
        return _share(text)
    unit = next((name for name in UNITS if text.endswith(name)), "")
    try:
        count = float(text.removesuffix(unit)) * UNITS.get(unit, 1)
    except ValueError:
        count = float("nan")
    if isinstance(size, bool) or not 1 <= count < 2**60:
        raise ParameterError(
            f"budget is {size!r}; expected a size such as '2GB' or '500MB', a number of bytes, or a share of the "
            "free memory such as '80%'"
        )
    return int(count)


def _share(text: str) -> int:
    free = free_memory()
    try:
        share = float(text.removesuffix("%")) / 100
    except ValueError:
        share = float("nan")
    if not 0 < share <= 1:
        raise ParameterError(
            f"budget is {text!r}; expected a share of the free memory, more than 0% and at most 100%"
        )
    if free is None:
        raise ParameterError(f"budget is {text!r}, but the free memory is not known here: give a size, '2GB'")
    return max(1, int(share * free))

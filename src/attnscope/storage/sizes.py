"""Sizes of memory, as people write them."""

from __future__ import annotations

from attnscope.errors import ParameterError

UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "B": 1}


def parse_bytes(size: int | str) -> int:
    """A size as a number of bytes.

    Args:
        size: '2GB', '500 MB', '1.5GiB' or a number of bytes, at least 1.

    Raises:
        ParameterError: It is no such size.

    >>> parse_bytes("1.5 GB")
    1500000000
    """
    text = str(size).strip().upper()
    unit = next((name for name in UNITS if text.endswith(name)), "")
    try:
        count = float(text.removesuffix(unit)) * UNITS.get(unit, 1)
    except ValueError:
        count = float("nan")
    if isinstance(size, bool) or not 1 <= count < 2**60:
        raise ParameterError(
            f"budget is {size!r}; expected a size such as '2GB', '500MB', or a number of bytes"
        )
    return int(count)

"""Digests, which find what bad disks and cut copies do to a trace. They don't find forgery: whoever can write can sign.

A CRC-32 of all bytes takes ten times as long, a fifth of a question to Q and K that are read for the first time.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

LANES = 1021  # a prime, so that blocks of a disk in another order come to lie in other lanes


def digest(tensor: Tensor) -> int:
    """CRC-32 of a tensor's type and shape, then of the sums of its lanes.

    Its bytes in row order, filled up with zeros, are little-endian 64-bit numbers; number n is in lane n % 1021, and
    sums are modulo 2^64. Any change of one number, and nearly any of several, gives another digest.

    Args:
        tensor: On the CPU.
    """
    data = _bytes(tensor)
    row = 8 * LANES
    whole = len(data) // row * row
    sums = data[:whole].view("<u8").reshape(-1, LANES).sum(0, dtype="<u8")
    rest = np.zeros(row, np.uint8)
    rest[: len(data) - whole] = data[whole:]
    sums += rest.view("<u8")
    kind = f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
    return zlib.crc32(sums.tobytes(), zlib.crc32(kind.encode()))


def crc32(tensor: Tensor) -> int:
    """CRC-32 of a tensor's bytes in row order, as earlier traces have it.

    Args:
        tensor: On the CPU.
    """
    return zlib.crc32(_bytes(tensor).data)


def json_digest(value: Any) -> int:
    """CRC-32 of a value as JSON, however it was written: names sorted, no spaces, ASCII alone.

    Args:
        value: Plain values.
    """
    return zlib.crc32(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


def _bytes(tensor: Tensor) -> np.ndarray:
    flat: np.ndarray = tensor.contiguous().view(-1).view(torch.uint8).numpy()
    return flat

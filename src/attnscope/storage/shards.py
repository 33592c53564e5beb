"""One safetensors file of a trace: written whole, and checked before anything of it is read.

It is read and not mapped, since whoever cuts a mapped file short ends the process.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from attnscope.errors import OutputError, TraceFormatError
from attnscope.files import whole_file
from attnscope.storage.digests import digest
from attnscope.storage.plain_files import (
    RESTORE,
    Stamp,
    bytes_at,
    damaged,
    fill,
    plain_file,
    stamp_of,
    strict_json,
)
from attnscope.storage.values import brief, items, number, reason, storable, text

MAX_HEADER_BYTES = 16 << 20  # a shard of 140 layers has a header of some 60 kB
_TYPES = {
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
    "BOOL": torch.bool,
    "I32": torch.int32,
}
_FLOATS = ("F16", "BF16", "F32", "F64")
Shape = tuple[int, ...]


class Stored(NamedTuple):
    """Where a tensor is in a shard, and what it is. begin and end count bytes of the file."""

    type: str
    shape: Shape
    begin: int
    end: int


def write_shard(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> dict[str, int]:
    """Write tensors to one file, whole or not at all, and return the digest of each.

    Args:
        path: The file.
        tensors: By name. They may be on any device and share memory.
        about: What they are, as JSON in the header's entry 'attnscope'.

    Raises:
        OutputError: The disk is full, or the file can't be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    contiguous = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    with whole_file(path) as partial:
        try:
            save_file(_unshared(contiguous), partial, metadata={"attnscope": json.dumps(storable(about))})
        except SafetensorError as error:  # how safetensors reports a full disk
            raise OutputError(f"can't write {path}: {error}; make room or choose another place") from error
    return {name: digest(tensor) for name, tensor in contiguous.items()}


@dataclass(frozen=True)
class Shard:
    """A safetensors file whose header was checked. It is open only while something is read.

    Attributes:
        path: The file.
        stored: Its tensors, by name.
        about: What the file says of itself.
        stamp: Of the file whose header was checked.
    """

    path: Path
    stored: Mapping[str, Stored]
    about: Any
    stamp: Stamp

    def read(self, names: Iterable[str]) -> tuple[dict[str, Tensor], Stamp]:
        """Tensors as they are in the file now, and the file's stamp.

        Args:
            names: Names of tensors.

        Raises:
            TraceFormatError: The file has gone, was cut short, is being written to, or has another header by now.
        """
        with plain_file(self.path, missing=_missing(self.path)) as file:
            stamp = stamp_of(file)
            if stamp != self.stamp and _read_header(self.path, file) != (self.stored, self.about):
                raise TraceFormatError(
                    f"{self.path}: replaced since the trace was opened; open the trace again"
                )
            tensors = {name: self._read(file, self.stored[name]) for name in names}
            if stamp_of(file) != stamp:
                raise TraceFormatError(
                    f"{self.path}: written to while it was read; ask again when that is over"
                )
        return tensors, stamp

    def _read(self, file: io.FileIO, stored: Stored) -> Tensor:
        with torch.inference_mode(False):  # it may be kept beyond the block that asks
            tensor = torch.empty(stored.shape, dtype=_TYPES[stored.type], device="cpu")
        raw = tensor.view(-1).view(torch.uint8)
        if fill(file, stored.begin, raw.numpy().data) < stored.end - stored.begin:
            raise damaged(self.path, "it ends too early")
        if stored.type == "BOOL" and int(raw.max()) > 1:
            raise damaged(self.path, "a mask holds more than true and false")
        return tensor


def open_shard(path: Path, expected: Mapping[str, Shape]) -> Shard:
    """A shard whose header was checked.

    Args:
        path: The file.
        expected: Shape of each tensor that it must hold, by name.

    Raises:
        TraceFormatError: The file is missing, damaged, or holds other tensors.
    """
    with plain_file(path, missing=_missing(path)) as file:
        stored, about = _read_header(path, file)
        shard = Shard(path, stored, about, stamp_of(file))
    if missing := sorted(set(expected) - set(stored)):
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise damaged(path, f"it lacks {missing[0]}{more}, which the manifest names")
    if unknown := sorted(set(stored) - set(expected)):
        raise damaged(path, f"it holds {brief(unknown[0])}, which the manifest does not name")
    for name, shape in expected.items():
        _check_stored(path, name, stored[name], shape)
    return shard


def check_intact(
    path: Path, name: str, tensor: Tensor, expected: int, sum_of: Callable[[Tensor], int]
) -> None:
    """Compare a tensor's digest with the one of when it was written.

    Args:
        path: Its file, for messages.
        name: Its name, for messages.
        tensor: The tensor.
        expected: The one of then.
        sum_of: How the digest is computed.

    Raises:
        TraceFormatError: The bytes have changed.
    """
    if sum_of(tensor) != expected:
        raise TraceFormatError(
            f"{path}: {name} is damaged: its bytes are not those that were written; {RESTORE}"
        )


def check_finite(path: Path, name: str, tensor: Tensor) -> None:
    """Refuse a tensor that holds NaN or infinite numbers.

    Args:
        path: Its file, for messages.
        name: Its name, for messages.
        tensor: The tensor.

    Raises:
        TraceFormatError: It holds some.
    """
    least, most = torch.aminmax(tensor)  # both are NaN if any number is
    if not (torch.isfinite(least) and torch.isfinite(most)):
        bad = int((~torch.isfinite(tensor)).sum())
        raise TraceFormatError(
            f"{path}: {name} holds {bad} numbers that are NaN or infinite; "
            "the run overflowed (try another dtype) or the file is damaged"
        )


def _read_header(path: Path, file: io.FileIO) -> tuple[dict[str, Stored], Any]:
    """The tensors and what the file says of itself. Every byte of the file is in the header or in one tensor."""
    size = stamp_of(file)[2]
    length = int.from_bytes(bytes_at(file, 0, 8), "little")
    if size < 8 or length > MAX_HEADER_BYTES or length + 8 > size:
        raise damaged(
            path, f"header of {length} bytes in a file of {size}; expected at most {MAX_HEADER_BYTES}"
        )
    try:
        parsed = strict_json(bytes_at(file, 8, length))
        metadata = parsed.pop("__metadata__", {})
        about = metadata.get("attnscope")
        if about is None and any(text(value).startswith("{") for value in metadata.values()):
            raise ValueError(f"what only 'attnscope' says is under {brief(min(metadata))}")
        stored = {text(name): _parse_stored(item, 8 + length) for name, item in parsed.items()}
        _check_layout(stored, 8 + length, size)
        return stored, None if about is None else strict_json(about.encode())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(path, reason(error)) from error


def _parse_stored(item: Mapping[str, Any], start: int) -> Stored:
    shape = tuple(number(length, least=0) for length in items(item["shape"]))
    begin, end = (start + number(at, least=0, most=1 << 60) for at in items(item["data_offsets"]))
    stored = Stored(text(item["dtype"]), shape, begin, end)
    kind = _TYPES.get(stored.type)
    if kind is not None and end - begin != math.prod(shape) * kind.itemsize:
        raise ValueError(f"{end - begin} bytes for a tensor of shape {shape} and type {stored.type}")
    return stored


def _check_layout(stored: Mapping[str, Stored], start: int, size: int) -> None:
    """Tensors lie one behind the other, from the header to the end of the file."""
    for tensor in sorted(stored.values(), key=lambda tensor: (tensor.begin, tensor.end)):
        if tensor.begin != start or tensor.end < start:
            raise ValueError("tensors that overlap, or bytes between them")
        start = tensor.end
    if start != size:
        raise ValueError(f"{size} bytes, where tensors end at {start}")


def _check_stored(path: Path, name: str, stored: Stored, shape: Shape) -> None:
    if stored.type not in _types(name):
        raise damaged(
            path, f"{name} is of type {brief(stored.type)[1:-1]}; expected one of {', '.join(_types(name))}"
        )
    if not _shape_fits(stored.shape, shape, name):
        raise damaged(path, f"{name} has shape {stored.shape}; the manifest says {shape}")


def _missing(path: Path) -> str:
    return f"{path}: missing; the trace is incomplete: {RESTORE}"


def _types(name: str) -> tuple[str, ...]:
    """What safetensors calls the types that a tensor of this name may have."""
    if name.endswith(".steps"):
        return ("I32",)
    return (*_FLOATS, "BOOL") if name.endswith(".mask") else _FLOATS


def _shape_fits(stored: Shape, expected: Shape, name: str) -> bool:
    if name.endswith(".mask"):  # a mask broadcasts: 1 stands for any length
        return len(stored) == len(expected) and all(
            s in (1, e) for s, e in zip(stored, expected, strict=True)
        )
    return stored == expected


def _unshared(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Clones of tensors that share memory, which safetensors refuses."""
    seen: set[int] = set()
    for name, tensor in tensors.items():
        if (address := tensor.untyped_storage().data_ptr()) in seen:
            tensors[name] = tensor.clone()
        seen.add(address)
    return tensors

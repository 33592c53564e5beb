"""One safetensors file of a trace: written whole, and checked before anything of it is read."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attnscope.errors import OutputError, TraceFormatError
from attnscope.files import whole_file

MAX_HEADER_BYTES = 16 << 20  # a shard of 140 layers has a header of some 60 kB
_FLOATS = ("F16", "BF16", "F32", "F64")
Shape = tuple[int, ...]


def write_shard(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> dict[str, int]:
    """Write tensors to one file, whole or not at all, and return the CRC-32 of each.

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
            save_file(_unshared(contiguous), partial, metadata={"attnscope": json.dumps(about)})
        except SafetensorError as error:  # how safetensors reports a full disk
            raise OutputError(f"can't write {path}: {error}; make room or choose another place") from error
    return {name: crc32(tensor) for name, tensor in contiguous.items()}


def crc32(tensor: Tensor) -> int:
    """CRC-32 of a tensor's bytes in row order, as zlib and PNG compute it.

    Args:
        tensor: On the CPU.
    """
    return zlib.crc32(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)


def open_shard(path: Path, expected: Mapping[str, Shape]) -> Any:
    """A shard, memory-mapped, whose header was checked before anything else is read.

    Args:
        path: The file.
        expected: Shape of each tensor that it must hold, by name.

    Raises:
        TraceFormatError: The file is missing, damaged, or holds other tensors.
    """
    from safetensors import SafetensorError, safe_open

    _check_file(path)
    try:
        shard = safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise TraceFormatError(
            f"{path}: damaged or cut short ({error}); capture again or restore it"
        ) from error
    if missing := sorted(set(expected) - set(shard.keys())):
        raise TraceFormatError(
            f"{path}: lacks {missing[0]} and {len(missing) - 1} more that the manifest names"
        )
    for name, shape in expected.items():
        stored = tuple(shard.get_slice(name).get_shape())
        if (dtype := shard.get_slice(name).get_dtype()) not in _types(name):
            raise TraceFormatError(
                f"{path}: {name} is of type {dtype}; expected one of {', '.join(_types(name))}"
            )
        if not _shape_fits(stored, shape, name):
            raise TraceFormatError(f"{path}: {name} has shape {stored}; the manifest says {shape}")
    return shard


def check_intact(path: Path, name: str, tensor: Tensor, expected_crc32: int | None) -> None:
    """Compare a tensor's checksum with the one of when it was written.

    Args:
        path: Its file, for messages.
        name: Its name, for messages.
        tensor: The tensor.
        expected_crc32: None: there is none to compare, as in version 1.

    Raises:
        TraceFormatError: The bytes have changed.
    """
    if expected_crc32 is not None and crc32(tensor) != expected_crc32:
        raise TraceFormatError(
            f"{path}: {name} is damaged: its bytes are not those that were written; restore the file or capture again"
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


def _check_file(path: Path) -> None:
    """The file is there, is no link, and its header has a sane size."""
    if not path.is_file():
        raise TraceFormatError(f"{path}: missing; the trace is incomplete: restore the file or capture again")
    if path.is_symlink():
        raise TraceFormatError(f"{path}: a link; a trace holds plain files only")
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > MAX_HEADER_BYTES or length + 8 > size:
        raise TraceFormatError(
            f"{path}: header of {length} bytes in a file of {size}; expected at most {MAX_HEADER_BYTES}: damaged"
        )


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

"""How a capture keeps what an attention layer computed: which rows and parts, as which type, on which device.

What leaves an NVIDIA or AMD GPU goes through page-locked memory: copies are only queued, the GPU works on, and once
a step they are waited for (`arrived`) and moved to ordinary memory, so that the page-locked is used again.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from attnscope.errors import ParameterError
from attnscope.records import LayerId
from attnscope.records.qkv import Record

DEVICE_NAME = re.compile(r"(cuda|gpu|mps|xpu|hpu|npu)(:\d+)?|cpu:\d+")
"""What a user who names a device writes: it would be taken for a folder."""
LARGE_BYTES = 8e9  # half of a usual laptop's memory


class LargeCaptureWarning(UserWarning):
    """A capture is going to hold more than 8 GB in memory."""


@dataclass(frozen=True)
class Keeping:
    """where: 'cpu', 'device' (the model's own) or a folder. dtype: None is the model's own. value: V as well."""

    where: str | Path
    dtype: torch.dtype | None
    value: bool
    _gpus: set[torch.device] = field(default_factory=set, init=False, repr=False, compare=False)
    """Those that copies of this step were queued on."""

    def __post_init__(self) -> None:
        if not isinstance(self.where, (str, Path)) or DEVICE_NAME.fullmatch(str(self.where)):
            raise ParameterError(
                f"where {self.where!r}: expected 'cpu', 'device' (the model's own) or a folder"
            )

    @property
    def folder(self) -> str | Path | None:
        """Where steps are written, None if they stay in memory."""
        return None if self.where in ("cpu", "device") else self.where

    def kept(self, record: Record, rows: Sequence[int]) -> Record:
        """The record of these batch rows, detached."""
        mask = record.mask
        return Record(
            query=self._stored(record.query, rows),
            key=self._stored(record.key, rows),
            value=self._stored(record.value, rows) if self.value and record.value is not None else None,
            mask=None if mask is None else self._stored(mask, rows, keep_type=mask.dtype == torch.bool),
            scale=record.scale,
            upcast=record.upcast,
        )

    def _stored(self, tensor: Tensor, rows: Sequence[int], *, keep_type: bool = False) -> Tensor:
        """The model's own memory where nothing has to change, since it is fresh."""
        kept = tensor.detach()
        if len(rows) < kept.shape[0]:
            kept = _rows_of(kept, rows)
        dtype = kept.dtype if keep_type or self.dtype is None else self.dtype
        if self.where != "device" and _is_on_gpu(kept):
            self._gpus.add(kept.device)
            return _page_locked(kept, dtype).copy_(kept, non_blocking=True)
        kept = kept.to(kept.device if self.where == "device" or kept.is_meta else "cpu", dtype)
        if kept.is_meta or kept.untyped_storage().nbytes() <= kept.numel() * kept.element_size():
            return kept
        return kept.clone()  # a part of something larger, as of fused QKV: do not hold the rest

    def arrived(self, records: Mapping[LayerId, Record]) -> dict[LayerId, Record]:
        """Records of a step, once what was queued has come, in ordinary memory."""
        if not self._gpus:
            return dict(records)
        while self._gpus:
            torch.cuda.synchronize(self._gpus.pop())
        return {
            layer: record.mapped(lambda tensor: tensor.clone() if _is_staged(tensor) else tensor)
            for layer, record in records.items()
        }


def _rows_of(tensor: Tensor, rows: Sequence[int]) -> Tensor:
    """Neighbours as a slice: numbers of rows would be sent to a GPU, which waits for them."""
    first, last = rows[0], rows[-1]
    return tensor[first : last + 1] if list(rows) == list(range(first, last + 1)) else tensor[list(rows)]


def staged_bytes(records: Mapping[LayerId, Record]) -> int:
    """Page-locked memory that records hold before they have arrived; torch takes it in powers of two."""
    tensors = [tensor for record in records.values() for tensor in record.tensors.values()]
    return sum(1 << (tensor.nbytes - 1).bit_length() for tensor in tensors if _is_staged(tensor))


def _is_on_gpu(tensor: Tensor) -> bool:
    return tensor.is_cuda


def _page_locked(like: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.empty(like.shape, dtype=dtype, pin_memory=True)


def _is_staged(tensor: Tensor) -> bool:
    return tensor.is_pinned()


def warn_if_large(step_bytes: int, steps: int) -> None:
    """Say, once the first step is known, when a run in memory is going to take a lot of it."""
    if step_bytes * steps > LARGE_BYTES:
        warnings.warn(
            f"this capture will hold about {step_bytes * steps / 1e9:.1f} GB in memory ({step_bytes / 1e6:.0f} MB a "
            "step); write it to disk as it comes (where='run.trace'), or keep less: kind=, blocks=, steps=, "
            "branch=, dtype=torch.float16, budget='4GB'",
            LargeCaptureWarning,
            stacklevel=2,
        )

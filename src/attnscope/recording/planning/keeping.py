"""How a capture keeps what an attention layer computed: which rows and parts, as which type, on which device.

Copies from an NVIDIA or AMD GPU go through page-locked memory. They are only queued, and the GPU works on. Once a step
they are waited for (`arrived`) and moved to ordinary memory, so that the page-locked memory is used again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from attnscope.errors import ParameterError
from attnscope.recording.tapping.attention import ordinary_tensors
from attnscope.records import LayerId
from attnscope.records.qkv import Record
from attnscope.storage.memory import Outputs

DEVICE_NAME = re.compile(r"(cuda|gpu|mps|xpu|hpu|npu)(:\d+)?|cpu:\d+")
"""Names of devices, which would otherwise be taken for folders."""


@dataclass(frozen=True)
class Keeping:
    """What is kept of each layer's tensors.

    Attributes:
        where: 'cpu', 'device' (the model's own) or a folder.
        dtype: None is the model's own.
        value: Keep V, too.
        grad: Keep autograd's graph.
    """

    where: str | Path
    dtype: torch.dtype | None
    value: bool
    grad: bool = False
    _gpus: set[torch.device] = field(default_factory=set, init=False, repr=False, compare=False)
    """Devices with copies of this step still in flight."""

    def __post_init__(self) -> None:
        if not isinstance(self.where, (str, Path)) or DEVICE_NAME.fullmatch(str(self.where)):
            raise ParameterError(
                f"where {self.where!r}: expected 'cpu', 'device' (the model's own) or a folder"
            )

    @property
    def folder(self) -> str | Path | None:
        """Where steps are written, None if they stay in memory."""
        return None if self.where in ("cpu", "device") else self.where

    def kept(self, record: Record, rows: Sequence[int]) -> Record | None:
        """A record of some batch rows, detached; None if it holds none of them.

        Args:
            record: What the layer computed.
            rows: Numbers of the call's rows to keep, in order.
        """
        numbers = None
        if record.rows is not None:
            numbers = tuple(at for at, row in enumerate(rows) if row in record.rows)
            rows = [record.rows.index(rows[at]) for at in numbers]
            if not rows:
                return None
        mask = record.mask
        with ordinary_tensors():
            return Record(
                query=self._stored(record.query, rows),
                key=self._stored(record.key, rows),
                value=self._stored(record.value, rows) if self.value and record.value is not None else None,
                mask=None if mask is None else self._stored(mask, rows, keep_type=mask.dtype == torch.bool),
                scale=record.scale,
                upcast=record.upcast,
                rows=numbers,
                edited=None if record.edited is None else self._stored(record.edited, rows),
            )

    def kept_output(self, tensor: Tensor, rows: Sequence[int]) -> Tensor:
        """What a module gave for some batch rows. It is always copied, for the model may go on to write into it.

        Args:
            tensor: What the module gave, rows first.
            rows: Numbers of the rows to keep, in order.
        """
        with ordinary_tensors():
            kept = self._stored(tensor, rows)
            is_same = kept.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr()
            return kept.clone() if is_same else kept

    def _stored(self, tensor: Tensor, rows: Sequence[int], *, keep_type: bool = False) -> Tensor:
        """The tensor as it is kept: the model's own memory if nothing has to change, since that is fresh."""
        kept = tensor if self.grad else tensor.detach()
        if len(rows) < kept.shape[0]:
            kept = _rows_of(kept, rows)
        dtype = kept.dtype if keep_type or self.dtype is None else self.dtype
        if self.where != "device" and _is_on_gpu(kept):
            self._gpus.add(kept.device)
            return _page_locked(kept, dtype).copy_(kept, non_blocking=True)
        kept = kept.to(kept.device if self.where == "device" or kept.is_meta else "cpu", dtype)
        is_whole = kept.is_meta or kept.untyped_storage().nbytes() <= kept.numel() * kept.element_size()
        if is_whole and not kept.is_inference():
            return kept
        return kept.clone()  # a part of something larger, such as fused QKV: do not hold the rest

    def arrived(
        self, records: Mapping[LayerId, Record], outputs: Outputs
    ) -> tuple[dict[LayerId, Record], dict[str, Tensor]]:
        """What a step leaves, in ordinary memory. Copies from a GPU that are still queued are waited for.

        Args:
            records: The records of a step, from `kept`.
            outputs: Its outputs, from `kept_output`.
        """
        if not self._gpus:
            return dict(records), dict(outputs)
        while self._gpus:
            torch.cuda.synchronize(self._gpus.pop())
        return (
            {layer: record.mapped(_in_ordinary_memory) for layer, record in records.items()},
            {path: _in_ordinary_memory(tensor) for path, tensor in outputs.items()},
        )


def _rows_of(tensor: Tensor, rows: Sequence[int]) -> Tensor:
    """Neighbouring rows as a slice: a list of numbers would be sent to the GPU, which waits for it."""
    first, last = rows[0], rows[-1]
    return tensor[first : last + 1] if list(rows) == list(range(first, last + 1)) else tensor[list(rows)]


def staged_bytes(records: Mapping[LayerId, Record], outputs: Outputs) -> int:
    """Page-locked memory that a step holds before it has arrived; torch takes it in powers of two.

    Args:
        records: The records of a step.
        outputs: Its outputs.
    """
    tensors = [tensor for record in records.values() for tensor in record.tensors.values()]
    tensors += outputs.values()
    return sum(1 << (tensor.nbytes - 1).bit_length() for tensor in tensors if _is_staged(tensor))


def _in_ordinary_memory(tensor: Tensor) -> Tensor:
    return tensor.clone() if _is_staged(tensor) else tensor


def _is_on_gpu(tensor: Tensor) -> bool:
    return tensor.is_cuda


def _page_locked(like: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.empty(like.shape, dtype=dtype, device="cpu", pin_memory=True)  # whatever the default device


def _is_staged(tensor: Tensor) -> bool:
    return tensor.is_pinned()

"""How a capture keeps what an attention layer computed: which rows and parts, as which type, on which device."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from attnscope.errors import ParameterError
from attnscope.layer_record import Record

LARGE_BYTES = 8e9  # half of a usual laptop's memory


class LargeCaptureWarning(UserWarning):
    """A capture is going to hold more than 8 GB in memory."""


@dataclass(frozen=True)
class Keeping:
    """where: 'cpu', 'device' (the model's own) or a folder. dtype: None is the model's own. value: V as well."""

    where: str | Path
    dtype: torch.dtype | None
    value: bool

    def __post_init__(self) -> None:
        if not isinstance(self.where, (str, Path)) or self.where in ("cuda", "mps", "gpu"):
            raise ParameterError(
                f"where {self.where!r}: expected 'cpu', 'device' (the model's own) or a folder"
            )

    @property
    def in_memory(self) -> bool:
        return self.where in ("cpu", "device")

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
            kept = kept[list(rows)]
        kept = kept.to(
            device=kept.device if self.where == "device" or kept.is_meta else "cpu",
            dtype=kept.dtype if keep_type or self.dtype is None else self.dtype,
        )
        if kept.is_meta or kept.untyped_storage().nbytes() <= kept.numel() * kept.element_size():
            return kept
        return kept.clone()  # a part of something larger, as of fused QKV: do not hold the rest


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

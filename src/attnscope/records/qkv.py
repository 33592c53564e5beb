"""What one attention layer computed in one step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, repr=False)
class Record:
    """What one attention layer computed in one step, for all rows of the batch.

    Attributes:
        query: Q.
        key: K.
        value: V, None unless the capture kept it.
        mask: Float (added to the scores) or bool (true where a key may be seen). Broadcasts to
            (row, head, query, key). None without a mask.
        scale: Factor before the softmax.
        upcast: Whether the model asks for float32 scores.
        edited: P as it was used, where an edit changed it; Q and K give P before.
        rows: Numbers of the call's rows that it holds, where the layer computed attention for some of them only; None
            is all.
    """

    query: Float[Tensor, "row head query dim"]
    key: Float[Tensor, "row head key dim"]
    value: Float[Tensor, "row head key dim"] | None = None
    mask: Tensor | None = None
    scale: float = 1.0
    upcast: bool = False
    rows: tuple[int, ...] | None = None
    edited: Float[Tensor, "row head query key"] | None = None

    def __repr__(self) -> str:
        parts = ", ".join(f"{name} {'x'.join(map(str, part.shape))}" for name, part in self.tensors.items())
        return f"<Record {parts}, {str(self.query.dtype).removeprefix('torch.')}>"

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The tensors that are there, by name: 'query', 'key', 'value', 'mask' and 'edited'."""
        parts = {
            "query": self.query,
            "key": self.key,
            "value": self.value,
            "mask": self.mask,
            "edited": self.edited,
        }
        return {name: tensor for name, tensor in parts.items() if tensor is not None}

    @property
    def nbytes(self) -> int:
        """Bytes of its tensors."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    def place_of(self, row: int) -> int | None:
        """Where a row of the call stands in the tensors; None if the layer computed no attention for it.

        Args:
            row: Number of the row in the call's batch.
        """
        if self.rows is None:
            return row
        return self.rows.index(row) if row in self.rows else None

    def mapped(self, function: Callable[[Tensor], Tensor]) -> Record:
        """A record with each tensor replaced by `function(tensor)`.

        Args:
            function: Applied to Q, K, V, the mask and an edited P, those that are there.
        """
        changed: dict[str, Any] = {name: function(tensor) for name, tensor in self.tensors.items()}
        return replace(self, **changed)

"""What one attention layer computed in one step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Record:
    """What one attention layer computed in one step, for all rows of the batch.

    mask: broadcasts to (row, head, query, key), float (added to scores) or bool (true: visible).
    scale: the factor before the softmax. upcast: the model asks for float32 scores.
    """

    query: Float[Tensor, "row head query dim"]
    key: Float[Tensor, "row head key dim"]
    value: Float[Tensor, "row head key dim"] | None = None
    mask: Tensor | None = None
    scale: float = 1.0
    upcast: bool = False

    @property
    def tensors(self) -> dict[str, Tensor]:
        parts = {"query": self.query, "key": self.key, "value": self.value, "mask": self.mask}
        return {name: tensor for name, tensor in parts.items() if tensor is not None}

    def mapped(self, function: Callable[[Tensor], Tensor]) -> Record:
        """The same with function(tensor) for each of its tensors."""
        changed: dict[str, Any] = {name: function(tensor) for name, tensor in self.tensors.items()}
        return replace(self, **changed)

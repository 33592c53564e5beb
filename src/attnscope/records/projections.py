"""How a cross-attention makes its keys of a text."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, repr=False)
class KeyProjection:
    """How one cross-attention makes K of the states of a text: K = weight @ state + bias, for every token alike.

    Attributes:
        weight: What the model multiplies a token's state with, LoRAs that were on included.
        bias: What it adds, None for nothing.
        norm_eps: Of a normalisation of each state before (mean 0, variance 1, its own factors are in weight and bias);
            None without one.
    """

    weight: Float[Tensor, "inner state"]
    bias: Float[Tensor, " inner"] | None = None
    norm_eps: float | None = None

    def __repr__(self) -> str:
        inner, states = self.weight.shape
        dtype = str(self.weight.dtype).removeprefix("torch.")
        return f"<KeyProjection of {states} numbers a token to {inner}, {dtype}>"

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The tensors that are there, by name: 'weight' and 'bias'."""
        return {"weight": self.weight} | ({} if self.bias is None else {"bias": self.bias})

    @property
    def nbytes(self) -> int:
        """Bytes of its tensors."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

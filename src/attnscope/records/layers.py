"""Which attention layers there are and what shapes they have in one run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["self", "cross"]
Stage = Literal["down", "mid", "up"]
KINDS: tuple[Kind, ...] = ("self", "cross")


@dataclass(frozen=True)
class Grid:
    """Latent positions that are a layer's queries, row by row."""

    height: int
    width: int

    @property
    def size(self) -> int:
        return self.height * self.width

    def __iter__(self):
        return iter((self.height, self.width))

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"


@dataclass(frozen=True, order=True)
class LayerId:
    """One attention of the U-Net: block 1.. in execution order, and its kind."""

    block: int
    kind: Kind

    def __str__(self) -> str:
        return f"block {self.block} {self.kind}"


@dataclass(frozen=True)
class Layer:
    """One attention layer with the shapes that it has in one run.

    batch: images in the run. branches: guidance rows per image (2 with guidance, 1 without).
    keys: key positions (grid.size for self-attention, text tokens for cross-attention).
    """

    block: int
    kind: Kind
    path: str
    stage: Stage
    grid: Grid
    heads: int
    head_dim: int
    keys: int
    batch: int = 1
    branches: int = 1

    @property
    def id(self) -> LayerId:
        return LayerId(self.block, self.kind)

    @property
    def leading(self) -> int:
        """Leading axis as in the shape tables: batch x branches x heads."""
        return self.batch * self.branches * self.heads

    @property
    def query(self) -> tuple[int, int, int]:
        return (self.leading, self.grid.size, self.head_dim)

    @property
    def key(self) -> tuple[int, int, int]:
        return (self.leading, self.keys, self.head_dim)

    @property
    def value(self) -> tuple[int, int, int]:
        return self.key

    @property
    def probability(self) -> tuple[int, int, int]:
        return (self.leading, self.grid.size, self.keys)

    def as_dict(self) -> dict[str, Any]:
        """Everything about the layer as plain values for JSON."""
        shapes = {name: list(getattr(self, name)) for name in ("query", "key", "value", "probability")}
        return {**asdict(self), "grid": list(self.grid), **shapes}

    def bytes_query_key(self, itemsize: int = 2) -> int:
        """Bytes of Q and K of one step, itemsize bytes a number (2 for float16)."""
        return self.leading * (self.grid.size + self.keys) * self.head_dim * itemsize

    def bytes_probability(self, itemsize: int = 2) -> int:
        """Bytes of the attention probability of one step, if it were materialised."""
        return self.leading * self.grid.size * self.keys * itemsize

"""Attention layers, and the shapes that they have in one run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

Kind = Literal["self", "cross"]
Stage = Literal["down", "mid", "up"]
KINDS: tuple[Kind, ...] = ("self", "cross")


SizeHW = tuple[int, int]
"""(height, width), of a grid in places or of a picture in pixels."""


class Grid(NamedTuple):
    """Height and width of a layer in latent positions. Flat numbers run along its rows.

    Attributes:
        height: Rows.
        width: Columns.
    """

    height: int
    width: int

    @property
    def places(self) -> int:
        """How many positions: height x width."""
        return self.height * self.width

    @property
    def size(self) -> int:
        """The older name of `places`."""
        return self.places

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"


@dataclass(frozen=True, order=True)
class LayerId:
    """The name of one attention layer: its block and its kind.

    Attributes:
        block: Block number in execution order, from 1.
        kind: 'self' or 'cross'.
    """

    block: int
    kind: Kind

    def __str__(self) -> str:
        return f"block {self.block} {self.kind}"


@dataclass(frozen=True, repr=False)
class Layer:
    """One attention layer, with the shapes that it has in one run.

    Attributes:
        block: Block number in execution order, from 1.
        kind: 'self' or 'cross'.
        path: The module's path, as in `unet.named_modules()`.
        stage: 'down', 'mid' or 'up'.
        grid: Height and width in latent positions; each position is a query.
        heads: Attention heads.
        head_dim: Channels of one head.
        keys: How many keys: `grid.places` for self-attention, text tokens for cross-attention.
        batch: Pictures in the run.
        branches: Guidance rows per picture: 2 with guidance, 1 without.
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

    def __repr__(self) -> str:
        return f"<Layer {self.id}, {self.grid}, {self.heads} heads of {self.head_dim}, {self.keys} keys: {self.path}>"

    @property
    def id(self) -> LayerId:
        """Block and kind, which name the layer."""
        return LayerId(self.block, self.kind)

    @property
    def leading(self) -> int:
        """Leading axis of the shapes: batch x branches x heads."""
        return self.batch * self.branches * self.heads

    @property
    def query(self) -> tuple[int, int, int]:
        """Shape of Q: (leading, places, head_dim)."""
        return (self.leading, self.grid.places, self.head_dim)

    @property
    def key(self) -> tuple[int, int, int]:
        """Shape of K: (leading, keys, head_dim)."""
        return (self.leading, self.keys, self.head_dim)

    @property
    def value(self) -> tuple[int, int, int]:
        """Shape of V, which is that of K."""
        return self.key

    @property
    def probability(self) -> tuple[int, int, int]:
        """Shape of P: (leading, places, keys)."""
        return (self.leading, self.grid.places, self.keys)

    def as_dict(self) -> dict[str, Any]:
        """Everything about the layer as plain values for JSON."""
        shapes = {name: list(getattr(self, name)) for name in ("query", "key", "value", "probability")}
        return {**asdict(self), "grid": list(self.grid), **shapes}

    def bytes_query_key(self, itemsize: int = 2) -> int:
        """Bytes of Q and K in one step.

        Args:
            itemsize: Bytes a number, 2 for float16.
        """
        return self.leading * (self.grid.places + self.keys) * self.head_dim * itemsize

    def bytes_probability(self, itemsize: int = 2) -> int:
        """Bytes that the attention probability of one step would take.

        Args:
            itemsize: Bytes a number, 2 for float16.
        """
        return self.leading * self.grid.places * self.keys * itemsize

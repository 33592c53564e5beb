"""Attention layers, and the shapes that they have in one run."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from attnscope.records.parts import KeyPart, QueryPart, View, span_of

Kind = str
"""What attends to what, in one block.

'self': places to places. 'cross': places to the text. 'joint': places to the text and to places in one softmax
(DeepFloyd IF, Kandinsky 2); in transformers the text asks, too (Stable Diffusion 3, Flux). Where 'self' or 'cross' is
asked for, a joint attention gives its part from the image to the image or to the text. 'self2', 'cross2': a second one
in the same block (x4 upscaler). 'fuser': places to places and to grounded objects (GLIGEN). 'image', 'image2' ...:
places to the pictures of the first, second ... IP-Adapter; 'image-1', 'image-2' ... to each of its pictures where they
have masks.
"""
TEXT_KINDS: tuple[Kind, ...] = ("cross", "cross2")
"""Kinds whose keys are the text's. A joint attention has them, too: its part image->text is 'cross'."""
PLACE_KINDS: tuple[Kind, ...] = ("self", "self2")
"""Kinds whose keys are the layer's own places."""
Stage = str
"""'down', 'mid' or 'up' of a U-Net; of a transformer the list of blocks, such as 'double' and 'single' of Flux."""
KINDS: tuple[Kind, ...] = ("self", "cross")
"""The two that every text-to-image U-Net has."""
_KIND_ORDER = ("self", "fuser", "joint", "cross", "self2", "cross2", "image")
_KIND = re.compile(r"self2?|fuser|joint|cross2?|image([2-9]\d?)?(-[1-9]\d?)?")


def is_kind(text: object) -> bool:
    """Whether a text names a kind of attention.

    Args:
        text: The text.
    """
    return isinstance(text, str) and bool(_KIND.fullmatch(text))


def kind_rank(kind: Kind) -> tuple[int, int, int]:
    """Where a kind stands among those of one block, as a key for sorting.

    Args:
        kind: The kind.
    """
    match = _KIND.fullmatch(kind)
    assert match is not None, kind
    name = "image" if kind.startswith("image") else kind
    return _KIND_ORDER.index(name), int(match[1] or 1), int((match[2] or "-0")[1:])


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
        kind: 'self', 'cross' or a rarer one, see `Kind`.
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
        kind: 'self', 'cross' or a rarer one, see `Kind`.
        path: The module's path, as in `named_modules()` of the model.
        stage: 'down', 'mid' or 'up' of a U-Net; see `Stage`.
        grid: Height and width in latent positions; each position is a query.
        heads: Attention heads.
        head_dim: Channels of one head.
        keys: How many keys: `grid.places` for self-attention, text tokens for cross-attention.
        batch: Pictures in the run.
        branches: Guidance rows per picture: 2 with guidance, 1 without.
        parts: Where the keys come from, in order, if from several sources or from another than usual; else empty.
        query_parts: Where the queries come from, in order, if not from the grid alone; else empty.
        view: Which part of a softmax it is; None for all of it.
        frames: Of a video transformer: how many frames its places are of, each with the grid, one after the other.
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
    parts: tuple[KeyPart, ...] = ()
    query_parts: tuple[QueryPart, ...] = ()
    view: View | None = None
    frames: int = 1

    def __repr__(self) -> str:
        parts = f" ({'; '.join(f'{part.name}: {part.keys}' for part in self.parts)})" if self.parts else ""
        more = f", {self.queries} queries" if self.queries != self.grid.places else ""
        grid = f"{self.frames} frames of {self.grid}" if self.frames > 1 else str(self.grid)
        shapes = f"{grid}{more}, {self.heads} heads of {self.head_dim}, {self.keys} keys{parts}"
        relation = f" ({self.view.relation} of {self.view.of})" if self.view else ""
        return f"<Layer {self.id}{relation}, {shapes}: {self.path}>"

    def keys_of(self, part: str) -> range:
        """Numbers of the keys that come from one source.

        Args:
            part: Its name, see `KeyPart`.

        Raises:
            KeyError: The layer has no such keys.
        """
        return span_of(self.parts or (KeyPart(self.usual_part, self.keys),), part)

    def queries_of(self, part: str) -> range:
        """Numbers of the queries that come from one source.

        Args:
            part: Its name, see `QueryPart`.

        Raises:
            KeyError: The layer has no such queries.
        """
        return span_of(self.query_parts or (QueryPart("own", self.queries),), part)

    @property
    def usual_part(self) -> str:
        """Where the keys of its kind usually come from: 'context' for cross-attention, else 'own'."""
        return "context" if self.kind.startswith("cross") else "own"

    @property
    def id(self) -> LayerId:
        """Block and kind, which name the layer."""
        return LayerId(self.block, self.kind)

    @property
    def reads_text(self) -> bool:
        """Whether the text is among its keys."""
        return self.usual_part == "context" or any(part.name.startswith("context") for part in self.parts)

    @property
    def record_id(self) -> LayerId:
        """Block and kind of the layer whose softmax it is, or a part of."""
        return LayerId(self.block, self.view.of if self.view else self.kind)

    @property
    def queries(self) -> int:
        """How many queries: those of the grid, and of a joint attention those of the text, too."""
        return sum(part.queries for part in self.query_parts) or self.frames * self.grid.places

    @property
    def leading(self) -> int:
        """Leading axis of the shapes: batch x branches x heads."""
        return self.batch * self.branches * self.heads

    @property
    def query(self) -> tuple[int, int, int]:
        """Shape of Q: (leading, queries, head_dim)."""
        return (self.leading, self.queries, self.head_dim)

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
        """Shape of P: (leading, queries, keys)."""
        return (self.leading, self.queries, self.keys)

    def as_dict(self) -> dict[str, Any]:
        """Everything about the layer as plain values for JSON."""
        shapes = {name: list(getattr(self, name)) for name in ("query", "key", "value", "probability")}
        parts = {name: [part._asdict() for part in getattr(self, name)] for name in ("parts", "query_parts")}
        view = None if self.view is None else self.view._asdict()
        return {**asdict(self), "grid": list(self.grid), **parts, "view": view, **shapes}

    def bytes_query_key(self, itemsize: int = 2) -> int:
        """Bytes of Q and K in one step.

        Args:
            itemsize: Bytes a number, 2 for float16.
        """
        return self.leading * (self.queries + self.keys) * self.head_dim * itemsize

    def bytes_probability(self, itemsize: int = 2) -> int:
        """Bytes that the attention probability of one step would take.

        Args:
            itemsize: Bytes a number, 2 for float16.
        """
        return self.leading * self.queries * self.keys * itemsize

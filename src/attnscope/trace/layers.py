"""The layers of a trace, found by number, by block and kind, or by module path."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, SupportsIndex, overload

from attnscope.errors import SelectionError, describe_numbers, nearest
from attnscope.records import KINDS, Kind, Layer, LayerId, kind_rank
from attnscope.records.relations import as_kind


class Layers(tuple[Layer, ...]):
    """The layers of a trace, a tuple in execution order: block 1 self, block 1 cross, block 2 self and so on.

    An entry has several names: its number, `layers[0]`; block and kind, `layers[1, "self"]`; the path of its module,
    `layers["down_blocks.0.attentions.0.transformer_blocks.0.attn1"]`. SelectionError names the nearest entry, and a
    number beyond the end raises IndexError.
    """

    def __new__(cls, layers: Iterable[Layer]) -> Layers:
        ordered = sorted(layers, key=lambda layer: (layer.block, kind_rank(layer.kind)))
        return super().__new__(cls, ordered)

    def __repr__(self) -> str:
        kinds = {kind: [layer.block for layer in self.of_kind(kind)] for kind in self.kinds}
        return (
            "<Layers "
            + "; ".join(
                f"{kind}: blocks {describe_numbers(blocks)}" for kind, blocks in kinds.items() if blocks
            )
            + ">"
        )

    @overload
    def __getitem__(self, which: SupportsIndex | tuple[int, str] | LayerId | str) -> Layer: ...

    @overload
    def __getitem__(self, which: slice) -> tuple[Layer, ...]: ...

    def __getitem__(self, which: Any) -> Any:
        """One layer, or several for a slice.

        Args:
            which: A number, a slice, (block, kind), a LayerId or a module path.

        Raises:
            SelectionError: The trace has no such layer.
            IndexError: The number is beyond the end.
        """
        if isinstance(which, str):
            return self._of_path(which)
        if isinstance(which, LayerId):
            return self._of(which.block, which.kind)
        if isinstance(which, tuple) and len(which) == 2:
            return self._of(*which)
        return super().__getitem__(which)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds that there are, 'self' and 'cross' first."""
        present = {layer.kind for layer in self}
        rare = sorted(present.difference(KINDS), key=kind_rank)
        return (*(kind for kind in KINDS if kind in present), *rare)

    def of_kind(self, kind: str) -> tuple[Layer, ...]:
        """The layers of one kind, in order. Of joint attentions it is the part from the image to 'self' or 'cross'.

        Args:
            kind: 'self', 'cross' or a rarer one.
        """
        return tuple(part for layer in self if (part := as_kind(layer, kind)) is not None)

    @property
    def in_parts(self) -> Layers:
        """The same with each joint attention as its parts, 'self' and 'cross', and a video's frame by frame."""
        parts = (
            [as_kind(layer, kind) for kind in KINDS] if layer.kind == "joint" or layer.frames > 1 else [layer]
            for layer in self
        )
        return Layers(part for of_layer in parts for part in of_layer if part is not None)

    def _of(self, block: Any, kind: Any) -> Layer:
        if kind not in (*KINDS, *self.kinds):
            known = dict.fromkeys((*self.kinds, *self.in_parts.kinds))
            raise SelectionError(f"kind {kind!r}: this trace has {', '.join(map(repr, known))}")
        of_kind = {layer.block: layer for layer in self.of_kind(kind)}
        if isinstance(block, bool) or block not in list(of_kind):
            raise SelectionError(
                f"block {block!r} {kind}: this trace has {kind} blocks {describe_numbers(list(of_kind))}"
            )
        return of_kind[block]

    def _of_path(self, path: str) -> Layer:
        at_path = next((layer for layer in self if layer.path == path), None)
        if at_path is None:
            raise SelectionError(
                f"layer {path!r}: this trace has {nearest(path, [layer.path for layer in self])}"
            )
        return at_path

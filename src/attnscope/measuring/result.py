"""The numbers of all layers of a trace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from attnscope.errors import SelectionError, missing_extra
from attnscope.measuring.numbers import NAMES, LayerStatistics


@dataclass(frozen=True, eq=False, repr=False)
class AttentionStatistics:
    """How the attention of one image behaves, layer by layer: `statistics[7, "cross"]` is one of them.

    Attributes:
        layers: The numbers of each layer, in execution order.
        branch: Guidance branch.
        image: Number of the image in the batch.
        left_out: Layers that ran in none of the steps for this branch, such as 'block 3 self'.
    """

    layers: tuple[LayerStatistics, ...]
    branch: str
    image: int
    left_out: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[LayerStatistics]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, which: tuple[int, str]) -> LayerStatistics:
        """The numbers of one layer, by block and kind."""
        for layer in self.layers:
            if (layer.block, layer.kind) == which:
                return layer
        known = ", ".join(str((layer.block, layer.kind)) for layer in self.layers)
        raise SelectionError(f"layer {which!r}: there are numbers of {known}")

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the layers, in order."""
        return tuple(dict.fromkeys(layer.kind for layer in self.layers))

    def of_kind(self, kind: str) -> tuple[LayerStatistics, ...]:
        """The layers of one kind.

        Args:
            kind: 'self', 'cross' or another of `kinds`.
        """
        return tuple(layer for layer in self.layers if layer.kind == kind)

    def over_steps(self, name: str, kind: str) -> dict[int, float]:
        """One of the numbers by step: the mean over the layers of a kind and their heads.

        Args:
            name: Such as 'distance'.
            kind: As for `of_kind`.
        """
        by_step: dict[int, list[float]] = {}
        for layer in self.of_kind(kind):
            if (numbers := layer.numbers(name)) is not None:
                for step, of_heads in zip(layer.steps, numbers, strict=True):
                    by_step.setdefault(step, []).append(float(of_heads.mean()))
        return {step: float(np.mean(by_step[step])) for step in sorted(by_step)}

    def to_pandas(self) -> Any:
        """A pandas table with a row for each layer, step and head.

        Columns: block, kind, stage, step, head, then the numbers of `LayerStatistics`; NaN where a layer has no such.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise missing_extra("to_pandas", "pandas", "tables") from error
        rows = [row for layer in self.layers for row in _rows(layer)]
        return pandas.DataFrame(rows, columns=["block", "kind", "stage", "step", "head", *NAMES])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "branch": self.branch,
            "image": self.image,
            "left_out": list(self.left_out),
            "layers": [layer.to_dict() for layer in self.layers],
        }

    def __repr__(self) -> str:
        kinds = ", ".join(f"{len(self.of_kind(kind))} {kind}" for kind in self.kinds)
        steps = {step for layer in self.layers for step in layer.steps}
        missing = f"; left out: {', '.join(self.left_out)}" if self.left_out else ""
        return f"<AttentionStatistics of {kinds} layers, {len(steps)} steps, branch {self.branch!r}{missing}>"


def _rows(layer: LayerStatistics) -> Iterator[dict[str, Any]]:
    arrays = {name: layer.numbers(name) for name in NAMES}
    for at, step in enumerate(layer.steps):
        for head in range(layer.layer.heads):
            numbers = {
                name: np.nan if array is None else float(array[at, head]) for name, array in arrays.items()
            }
            yield {
                "block": layer.block,
                "kind": layer.kind,
                "stage": layer.layer.stage,
                "step": step,
                "head": head,
                **numbers,
            }

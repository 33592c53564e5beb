"""DiffSeg: maps that look at the same place are merged, below a threshold that is given, recommended or found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from attnscope.atlas.known import DEMO_FOLDER, DEMO_MERGE_THRESHOLD
from attnscope.diffseg.automatic import automatic_threshold
from attnscope.diffseg.merging import ANCHORS, PAPER_THRESHOLD, PASSES, PRESETS
from attnscope.diffseg.refinement import refine
from attnscope.errors import ParameterError, nearest
from attnscope.segmentation.basis import Basis
from attnscope.segmentation.recipe import WEAK, Found, check_fields, check_weak

Thresholds = float | Sequence[float] | Literal["auto"]


@dataclass(frozen=True)
class DiffSegRecipe:
    """DiffSeg's choices.

    Attributes:
        thresholds: tau of each pass, in nats; "auto" until the picture's attention has settled it.
        threshold_source: 'given', 'model' (its own recommendation), 'paper' or 'auto'.
        passes: How many there are.
        preset: 'paper' or 'reference', see `attnscope.diffseg.merge`.
        anchors: A side, or rows and columns, see `attnscope.diffseg.merge`.
        refine: k-means after merging.
        fit: Draw segments to the picture's own edges.
        unite: Segments of one word are one segment.
        weak: The least score of a segment's name, see `attnscope.segment`.
    """

    method: ClassVar[str] = "diffseg"
    thresholds: tuple[float, ...] | Literal["auto"]
    threshold_source: str = "given"
    passes: int = PASSES
    preset: str = "paper"
    anchors: int | tuple[int, int] = ANCHORS
    refine: bool = False
    fit: bool = False
    unite: bool = True
    weak: float = WEAK

    def __post_init__(self) -> None:
        """Thresholds and anchors may come as any sequence, and one threshold is that of all passes."""
        check_weak(self.weak)
        if not isinstance(self.anchors, int):
            object.__setattr__(self, "anchors", tuple(self.anchors))
        settle = object.__setattr__
        if isinstance(self.thresholds, str):
            _check_auto(self.thresholds)
            settle(self, "threshold_source", "auto")
        else:
            settle(self, "thresholds", per_pass(self.thresholds, self.passes))
            settle(self, "passes", len(self.thresholds))

    @property
    def least_score(self) -> float:
        """Of a name: the authors' program names every segment."""
        return 0.0 if self.preset == "reference" else self.weak

    def __str__(self) -> str:
        taus = self.thresholds
        return (
            f"DiffSeg, thresholds {taus if isinstance(taus, str) else ', '.join(f'{tau:g}' for tau in taus)}"
        )

    def find(self, basis: Basis, words: Sequence[int]) -> Found:
        """Merge, and refine if asked.

        Args:
            basis: The picture's attention.
            words: Not asked here.
        """
        merger = basis.merger(self.preset, self.anchors)
        recipe = self
        if self.thresholds == "auto":
            tau = automatic_threshold(merger, passes=self.passes)
            recipe = replace(self, thresholds=per_pass(tau, self.passes), threshold_source="auto")
        maps = merger.merge(recipe.thresholds)  # type: ignore[arg-type]  # numbers by now
        return Found(refine(basis.aggregated, maps) if self.refine else maps, recipe)


def diffseg_recipe(
    model: str | None, thresholds: Thresholds | None, passes: int, **changes: Any
) -> DiffSegRecipe:
    """A recipe, its threshold recommended by the model where none is given.

    Args:
        model: Id or folder of the model.
        thresholds: One number, one a pass, or "auto"; None for the model's recommendation.
        passes: How often a single number is applied.
        changes: Other fields of `DiffSegRecipe`.

    Raises:
        ParameterError: There are no passes, or the preset is unknown.
        KeywordError: A recipe has no such field.
    """
    if passes < 1:
        raise ParameterError(f"passes is {passes}; expected at least 1 (the paper uses {PASSES})")
    check_fields(DiffSegRecipe, changes)
    preset = changes.get("preset", "paper")
    if preset not in PRESETS:
        raise ParameterError(f"preset is {preset!r}; expected one of {nearest(str(preset), PRESETS)}")
    source = "given"
    if thresholds is None:
        thresholds, source = recommended_threshold(model)
    settled = thresholds if isinstance(thresholds, str) else per_pass(thresholds, passes)
    return DiffSegRecipe(settled, source, passes, **changes)


def recommended_threshold(model: str | None) -> tuple[float, str]:
    """The threshold for the attention of a model, and where it is from: 'model' or 'paper'.

    Args:
        model: Id or folder; None if unknown.
    """
    if model == "demo" or (model and _is_demo_folder(model)):
        return DEMO_MERGE_THRESHOLD, "model"
    return PAPER_THRESHOLD, "paper"


def _is_demo_folder(model: str) -> bool:
    try:
        return Path(model).resolve() == DEMO_FOLDER.resolve()
    except (OSError, ValueError):  # the name in a trace may hold what no path can
        return False


def per_pass(thresholds: float | Sequence[float], passes: int = PASSES) -> tuple[float, ...]:
    """One threshold per pass.

    Args:
        thresholds: One number, which is repeated, or one a pass.
        passes: How many.
    """
    numbers = tuple(float(number) for number in np.ravel(thresholds))
    return numbers * passes if np.ndim(thresholds) == 0 else numbers


def _check_auto(thresholds: str) -> None:
    if thresholds != "auto":
        raise ParameterError(
            f"thresholds is {thresholds!r}; expected numbers in nats, or 'auto': found from the picture's attention"
        )

"""How aggregated attention becomes segments: thresholds, anchors, passes, and where they are from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from attnscope.atlas.known import DEMO_FOLDER, DEMO_MERGE_THRESHOLD
from attnscope.diffseg.merging import ANCHORS, PAPER_THRESHOLD, PASSES, PRESETS
from attnscope.errors import KeywordError, ParameterError, nearest

WEAK = 1.0
"""A word that gets less attention inside a segment than in the whole picture does not name it."""


@dataclass(frozen=True)
class Recipe:
    """How aggregated attention became segments; plain data.

    Attributes:
        thresholds: tau of each pass, in nats.
        threshold_source: 'given', 'model' (its own recommendation) or 'paper'.
        preset: 'paper' or 'reference', see `attnscope.diffseg.merge`.
        anchors: A side, or rows and columns, see `attnscope.diffseg.merge`.
        refine: k-means after merging.
        unite: Segments of one word are one segment.
        weak: The least score of a segment's name, see `attnscope.segment`.
    """

    thresholds: tuple[float, ...]
    threshold_source: str = "given"
    preset: str = "paper"
    anchors: int | tuple[int, int] = ANCHORS
    refine: bool = False
    unite: bool = True
    weak: float = WEAK

    def __post_init__(self) -> None:
        """Rows and columns of anchors may come as any sequence."""
        if isinstance(self.weak, bool) or not isinstance(self.weak, (int, float)) or not self.weak >= 0:
            raise ParameterError(
                f"weak is {self.weak!r}; expected the least score of a name, 0 or more: 1 is the word's mean in the "
                "picture, and 0 names every segment"
            )
        if not isinstance(self.anchors, int):
            object.__setattr__(self, "anchors", tuple(self.anchors))

    def changed(self, **changes: Any) -> Recipe:
        """The same with other choices.

        Args:
            changes: Fields by name.

        Raises:
            KeywordError: A recipe has no such field.
        """
        check_fields(changes)
        return replace(self, **changes)


def check_fields(changes: Mapping[str, Any]) -> None:
    """Refuse names that are no fields of a recipe.

    Args:
        changes: Fields by name.

    Raises:
        KeywordError: A recipe has no such field.
    """
    known = [field.name for field in fields(Recipe)]
    if unknown := [name for name in changes if name not in known]:
        raise KeywordError(f"a recipe has no {unknown[0]!r}; the nearest: {nearest(unknown[0], known)}")


def recipe_for(
    model: str | None, thresholds: float | Sequence[float] | None, passes: int, **changes: Any
) -> Recipe:
    """A recipe, its threshold recommended by the model where none is given.

    Args:
        model: Id or folder of the model.
        thresholds: One number or one a pass; None for the model's recommendation.
        passes: How often a single number is applied.
        changes: Other fields of `Recipe`.

    Raises:
        ParameterError: There are no passes, or the preset is unknown.
        KeywordError: A recipe has no such field.
    """
    if passes < 1:
        raise ParameterError(f"passes is {passes}; expected at least 1 (the paper takes {PASSES})")
    check_fields(changes)
    preset = changes.get("preset", "paper")
    if preset not in PRESETS:
        raise ParameterError(f"preset is {preset!r}; expected one of {nearest(str(preset), PRESETS)}")
    source = "given"
    if thresholds is None:
        thresholds, source = recommended_threshold(model)
    return Recipe(per_pass(thresholds, passes), source, **changes)


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

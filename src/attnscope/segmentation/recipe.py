"""What all ways to find segments share: what they may look at, what they find, and how they are said as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

from jaxtyping import Float
from torch import Tensor

from attnscope.errors import KeywordError, ParameterError, nearest
from attnscope.segmentation.basis import Basis

WEAK = 1.0
"""A word that gets less attention inside a segment than in the whole picture does not name it."""


class Recipe(Protocol):
    """How the attention of a picture becomes segments; frozen, plain data. Each method has its own.

    Attributes:
        method: Name of the method.
    """

    method: ClassVar[str]

    @property
    def unite(self) -> bool:
        """Segments of one word are one segment."""

    @property
    def fit(self) -> bool:
        """Draw segments to the picture's own edges, see `attnscope.segmentation.picture_edges.fit_to_picture`."""

    @property
    def least_score(self) -> float:
        """A segment whose best word has less stays without a name, see `attnscope.segment`."""

    def find(self, basis: Basis, words: Sequence[int]) -> Found:
        """The maps of the segments.

        Args:
            basis: The picture's attention.
            words: Numbers, among its words, of those that may name segments.
        """


class Found(NamedTuple):
    """What a method found.

    Attributes:
        maps: One a segment on the grid; a pixel belongs to the segment whose resized map is largest there.
        recipe: The recipe with what the picture settled, such as an automatic threshold.
        names: The name of each segment, where the method itself gives it; else ().
    """

    maps: Float[Tensor, "segment grid_height grid_width"]
    recipe: Recipe
    names: tuple[str | None, ...] = ()


AnyRecipe = TypeVar("AnyRecipe", bound=Recipe)


def changed(recipe: AnyRecipe, changes: Mapping[str, Any]) -> AnyRecipe:
    """The same with other choices.

    Args:
        recipe: The recipe.
        changes: Fields by name.

    Raises:
        KeywordError: A recipe of this method has no such field.
        ParameterError: A choice is outside its range.
    """
    check_fields(type(recipe), changes)
    return replace(recipe, **changes)  # type: ignore[type-var]


def check_fields(kind: type[Recipe], changes: Mapping[str, Any], beside: Sequence[str] = ()) -> None:
    """Refuse names that are no fields of a recipe.

    Args:
        kind: The recipe's class.
        changes: Fields by name.
        beside: Other names that may have been meant.

    Raises:
        KeywordError: Such a recipe has no such field.
    """
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    if unknown := [name for name in changes if name not in known]:
        raise KeywordError(
            f"a {kind.method} recipe has no {unknown[0]!r}; the nearest: {nearest(unknown[0], [*known, *beside])}"
        )


def check_weak(weak: object) -> None:
    """Refuse what is no score.

    Args:
        weak: The least score of a name.

    Raises:
        ParameterError: It is no number from 0.
    """
    if isinstance(weak, bool) or not isinstance(weak, (int, float)) or not weak >= 0:
        raise ParameterError(
            f"weak is {weak!r}; expected the least score of a name, 0 or more: 1 is the word's mean in the "
            "picture, and 0 names every segment"
        )


def as_dict(recipe: Recipe) -> dict[str, Any]:
    """A recipe as plain values for JSON.

    Args:
        recipe: The recipe.
    """
    return {"method": recipe.method, **asdict(recipe)}  # type: ignore[call-overload]

"""Ways from the attention of a picture to its segments: a recipe of plain data each, by name.

diffseg.py   maps that look at the same place are merged
cutting.py   what the next two share
ncut.py      the picture is cut where the least likeness is lost
diffcut.py   the same of features
words.py     words become segments, the rest is background
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from attnscope.diffseg.merging import ANCHORS, PASSES
from attnscope.errors import ParameterError, nearest
from attnscope.segmentation.methods.diffcut import DiffCutRecipe
from attnscope.segmentation.methods.diffseg import DiffSegRecipe, diffseg_recipe
from attnscope.segmentation.methods.ncut import NcutRecipe
from attnscope.segmentation.methods.words import WordsRecipe
from attnscope.segmentation.recipe import WEAK, Recipe, changed, check_fields

_RECIPES: dict[str, type[Recipe]] = {
    kind.method: kind for kind in (DiffSegRecipe, NcutRecipe, DiffCutRecipe, WordsRecipe)
}
METHODS = tuple(_RECIPES)
_DEFAULTS = {
    "thresholds": None,
    "passes": PASSES,
    "preset": "paper",
    "anchors": ANCHORS,
    "refine": False,
    "fit": False,
    "unite": True,
    "weak": WEAK,
}
"""What `attnscope.segment` has by name, though not every method does, where nothing is chosen."""


def looks_at_features(method: object) -> bool:
    """Whether a method looks at features.

    Args:
        method: Its name, or a recipe.
    """
    return getattr(method, "method", method) == DiffCutRecipe.method


def recipe_for(
    method: str | Recipe, model: str | None, *, beside: Sequence[str] = (), **choices: Any
) -> Recipe:
    """The recipe of a method.

    Args:
        method: Its name; or a recipe, which is taken as it is.
        model: Id or folder of the model, for what it recommends.
        beside: Keywords of the function that was called, of which a misspelt one may be meant.
        choices: Fields of the recipe.

    Raises:
        ParameterError: There is no such method, or a choice is outside its range.
        KeywordError: The method has no such choice.
    """
    if not isinstance(method, str):
        if chosen := _chosen(choices, ()):
            raise ParameterError(
                f"{', '.join(chosen)} can't be given beside a recipe: set it in the recipe itself"
            )
        return method
    if method not in _RECIPES:
        raise ParameterError(f"method is {method!r}; expected one of {nearest(method, METHODS)}")
    kind = _RECIPES[method]
    chosen = _chosen(choices, [field.name for field in fields(kind)])  # type: ignore[arg-type]
    check_fields(kind, chosen, beside)
    return diffseg_recipe(model, **_DEFAULTS | choices) if kind is DiffSegRecipe else kind(**chosen)


def _chosen(choices: Mapping[str, Any], known: Sequence[str]) -> dict[str, Any]:
    """Choices without those that a recipe does not have and nobody made."""
    return {
        name: value
        for name, value in choices.items()
        if name in known or not (name in _DEFAULTS and _alike(value, _DEFAULTS[name]))
    }


def _alike(value: Any, default: Any) -> bool:
    return value is default or (isinstance(value, str | int | float) and value == default)


def recipe_like(
    recipe: Recipe, changes: Mapping[str, Any], *, method: str | None, model: str | None
) -> Recipe:
    """A recipe with other choices, or one of another method, which keeps `fit` and `unite`.

    Args:
        recipe: The recipe.
        changes: Fields by name.
        method: Name of the method, None for the recipe's own.
        model: Id or folder of the model, for what it recommends.

    Raises:
        ParameterError: There is no such method, or a choice is outside its range.
        KeywordError: The method has no such field.
    """
    if method is not None and method != recipe.method:
        shared = {"fit": recipe.fit} | ({} if method == WordsRecipe.method else {"unite": recipe.unite})
        return recipe_for(method, model, **shared | dict(changes))
    given = {"threshold_source": "given"} if "thresholds" in changes else {}
    return changed(recipe, given | dict(changes))

"""Ways from the attention of a picture to its segments: a recipe of plain data each, by name.

diffseg.py   maps that look at the same place are merged
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attnscope.diffseg.merging import ANCHORS, PASSES
from attnscope.errors import ParameterError, nearest
from attnscope.segmentation.methods.diffseg import DiffSegRecipe, diffseg_recipe
from attnscope.segmentation.recipe import Recipe, changed, check_fields

_RECIPES: dict[str, type[Recipe]] = {"diffseg": DiffSegRecipe}
METHODS = tuple(_RECIPES)
_OF_DIFFSEG = {"thresholds": None, "passes": PASSES, "preset": "paper", "anchors": ANCHORS, "refine": False}
"""What `attnscope.segment` takes for DiffSeg, where nothing is chosen."""


def recipe_for(method: str | Recipe, model: str | None, **choices: Any) -> Recipe:
    """The recipe of a method.

    Args:
        method: Its name; or a recipe, which is taken as it is.
        model: Id or folder of the model, for what it recommends.
        choices: Fields of the recipe, and DiffSeg's, of which other methods take none.

    Raises:
        ParameterError: There is no such method, it has no such choice, or the choice is outside its range.
        KeywordError: It has no such field.
    """
    chosen = {name: value for name, value in choices.items() if name not in _OF_DIFFSEG}
    of_diffseg = {name: value for name, value in choices.items() if value != _OF_DIFFSEG.get(name, value)}
    if not isinstance(method, str):
        return method
    if method not in _RECIPES:
        raise ParameterError(f"method is {method!r}; expected one of {nearest(method, METHODS)}")
    if method == "diffseg":
        return diffseg_recipe(model, **_OF_DIFFSEG | choices)
    if of_diffseg:
        raise ParameterError(
            f"{', '.join(of_diffseg)} can't be chosen for the method {method!r}: DiffSeg alone has it. Leave it out"
        )
    check_fields(_RECIPES[method], chosen)
    return _RECIPES[method](**chosen)


def recipe_like(
    recipe: Recipe, changes: Mapping[str, Any], *, method: str | None, model: str | None
) -> Recipe:
    """A recipe with other choices, or one of another method.

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
        shared = {"unite": recipe.unite, "weak": recipe.weak}
        return recipe_for(method, model, **shared | dict(changes))
    given = {"threshold_source": "given"} if "thresholds" in changes else {}
    return changed(recipe, given | dict(changes))

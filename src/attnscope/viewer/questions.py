"""What a client may ask, checked: the query parameters of the server's questions."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Depends, Query

from attnscope.diffseg.merging import ANCHORS, PASSES, PRESETS
from attnscope.errors import ParameterError
from attnscope.places import Box, View
from attnscope.segmentation.methods.diffseg import DiffSegRecipe, per_pass
from attnscope.viewer.aggregates import Source

MOST_TOKENS = 1024
MOST_PASSES = 10
MOST_ANCHORS = 32
MOST_STEP = 10**6

Share = Annotated[float, Query(ge=0, le=1, allow_inf_nan=False)]
MaybeShare = Annotated[float | None, Query(ge=0, le=1, allow_inf_nan=False)]
Image = Annotated[int, Query(ge=0, le=10**4)]
Each = Literal["view", "block", "head"]
MapFormat = Literal["f16", "png", "npz"]
LabelsFormat = Literal["u16", "png", "npz"]
Tokens = Annotated[list[int], Query(min_length=1, max_length=MOST_TOKENS, description="Token numbers.")]
MaybeTokens = Annotated[list[int] | None, Query(min_length=1, max_length=MOST_TOKENS)]
Words = Annotated[
    list[int] | None, Query(max_length=MOST_TOKENS, description="Places of words in the prompt.")
]


def _view(
    block: Annotated[int | None, Query(ge=0, le=10**4, description="A block; all by default.")] = None,
    head: Annotated[int | None, Query(ge=0, le=10**4, description="A head; their mean by default.")] = None,
    step: Annotated[
        int | None, Query(ge=0, le=MOST_STEP, description="A step; their mean by default.")
    ] = None,
    branch: Annotated[str, Query(max_length=64)] = "cond",
    image: Image = 0,
) -> View:
    return View(block, head, step, branch, image)


def _box(top: Share, left: Share, bottom: MaybeShare = None, right: MaybeShare = None) -> Box:
    """A place (top and left only) or a part of the picture."""
    return Box(top, left, top if bottom is None else bottom, left if right is None else right)


def _asked(
    top: MaybeShare = None,
    left: MaybeShare = None,
    bottom: MaybeShare = None,
    right: MaybeShare = None,
    token: MaybeTokens = None,
) -> Box | list[int]:
    """A place, a part of the picture, or tokens."""
    if token is not None:
        return token
    if top is None or left is None:
        raise ParameterError("give a place (top and left), a part of the picture, or tokens")
    return _box(top, left, bottom, right)


def _source(
    step: Annotated[int | None, Query(ge=0, le=MOST_STEP)] = None,
    branch: Annotated[str, Query(max_length=64)] = "cond",
    image: Image = 0,
    weights: Annotated[
        str, Query(max_length=400, description="height:weight of every grid, as in 64:1,32:0.5,16:0,8:0")
    ] = "",
) -> Source:
    return Source(step, branch, image, _weights(weights))


def _weights(text: str) -> tuple[tuple[int, float], ...]:
    """((height, weight), ...) of "64:1,32:0.5"."""
    try:
        pairs = [part.split(":") for part in text.split(",") if part]
        weights = tuple(sorted((int(height), float(weight)) for height, weight in pairs))
    except ValueError:
        weights = ((0, -1.0),)
    possible = all(0 < height < 10**4 and 0 <= weight < 10**6 for height, weight in weights)
    if not possible or (weights and not any(weight for _, weight in weights)):
        raise ParameterError(
            f"weights {text!r}: expected HEIGHT:WEIGHT of every grid, not all 0, as in 64:1,32:0.5,16:0,8:0"
        )
    return weights


def _recipe(
    threshold: Annotated[
        list[float], Query(min_length=1, max_length=MOST_PASSES, description="One, or one a pass.")
    ],
    passes: Annotated[int, Query(ge=1, le=MOST_PASSES)] = PASSES,
    anchors: Annotated[int, Query(ge=1, le=MOST_ANCHORS)] = ANCHORS,
    preset: Annotated[str, Query(pattern="^(" + "|".join(PRESETS) + ")$")] = PRESETS[0],
    unite: bool = False,
) -> DiffSegRecipe:
    one_or_many = threshold[0] if len(threshold) == 1 else threshold
    return DiffSegRecipe(per_pass(one_or_many, passes), preset=preset, anchors=anchors, unite=unite)


Views = Annotated[View, Depends(_view)]
Boxes = Annotated[Box, Depends(_box)]
PlacesOrTokens = Annotated[Box | list[int], Depends(_asked)]
Sources = Annotated[Source, Depends(_source)]
Recipes = Annotated[DiffSegRecipe, Depends(_recipe)]

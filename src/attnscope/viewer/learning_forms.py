"""What the page's lessons ask and get, typed: one place of one layer, its computation, the model's layers."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Depends, Query
from pydantic import BaseModel

from attnscope.places import Box, View
from attnscope.viewer.questions import MOST_STEP, Image, Share

NumbersFormat = Literal["f32", "npz"]
LessonKind = Literal["self", "cross"]


class LessonLayer(BaseModel):
    """A layer of the model with the shapes of its tensors: (batch x branches x heads, places, dim).

    kind: "joint" where one softmax is over text and picture. query, key, value, probability: shapes.
    """

    block: int
    kind: str
    path: str
    stage: str
    grid: tuple[int, int]
    heads: int
    head_dim: int
    batch: int
    branches: int
    query: tuple[int, int, int]
    key: tuple[int, int, int]
    value: tuple[int, int, int]
    probability: tuple[int, int, int]


class LessonInfo(BaseModel):
    """What a lesson needs of a run beside TraceInfo. guidance_scale: None where the run had none, or it is unknown."""

    guidance_scale: float | None
    layers: list[LessonLayer]


class SectionInfo(BaseModel):
    """A run of a layer's keys from one source. grid: where they are places, None for tokens; frame: of a video."""

    name: str
    first: int
    keys: int
    grid: tuple[int, int] | None
    frame: int | None


class ComputationInfo(BaseModel):
    """What is known of one place's computation beside its arrays.

    largest: subtracted before the exponential; total: the sum of exponentials; top: numbers of the keys with the
    largest shares, the largest first; row, column: the place on the layer's grid.
    """

    block: int
    kind: LessonKind
    head: int
    step: int
    branch: str
    image: int
    row: int
    column: int
    query: int
    keys: int
    dim: int
    scale: float
    largest: float
    total: float
    top: list[int]
    sections: list[SectionInfo]
    edited: bool
    masked: bool
    has_value: bool


class KeysInfo(BaseModel):
    """Which head's K, and V if the trace has it, an answer holds."""

    block: int
    kind: LessonKind
    head: int
    step: int
    branch: str
    image: int
    has_value: bool


def _one_view(
    block: Annotated[int, Query(ge=0, le=10**4, description="Block number, from 1.")],
    head: Annotated[int, Query(ge=0, le=10**4, description="Head number, from 0.")],
    step: Annotated[int, Query(ge=0, le=MOST_STEP, description="Step number.")],
    branch: Annotated[str, Query(max_length=64)] = "cond",
    image: Image = 0,
) -> View:
    """One head of one block in one step."""
    return View(block, head, step, branch, image)


def _one_place(top: Share, left: Share) -> Box:
    return Box.of_place(top, left)


OneView = Annotated[View, Depends(_one_view)]
OnePlace = Annotated[Box, Depends(_one_place)]

"""The JSON that the viewer's server speaks, typed."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel


class TokenInfo(BaseModel):
    """A key of cross-attention. role: start, text, end or padding."""

    index: int
    text: str
    role: str


class WordInfo(BaseModel):
    """A word of the prompt with its tokens."""

    text: str
    tokens: list[int]


class TextInfo(BaseModel):
    """A text that the model read, with its tokens and words."""

    text: str
    tokens: list[TokenInfo]
    words: list[WordInfo]


class ImageInfo(BaseModel):
    """One image of the run. texts: what each branch reads, by the branch's name. height, width: of its picture in
    pixels, None where the trace holds no picture."""

    texts: dict[str, TextInfo]
    height: int | None
    width: int | None


class StepInfo(BaseModel):
    index: int
    timestep: float


class LayerInfo(BaseModel):
    """One attention layer; grid: (height, width) of its queries; keys: how many it has; softmax: how many keys its
    softmax is over, more than those of a picture's places or a text's tokens where it looks elsewhere, too."""

    block: int
    kind: Literal["self", "cross"]
    path: str
    stage: str
    heads: int
    grid: tuple[int, int]
    head_dim: int
    keys: int
    softmax: int


class TraceInfo(BaseModel):
    """What can be looked at in one trace. folder: where Python finds it; None if it is in memory only.

    not_drawn: layers of rarer kinds, in words. size: (height, width) of the pictures in pixels, or what they would
    have. threshold: DiffSeg's for this model.
    step: which one to show first, None for the mean over all: reading all steps of a large trace takes long.
    """

    number: int
    name: str
    folder: str | None
    model: str | None
    seed: int | None
    images: list[ImageInfo]
    branches: list[str]
    steps: list[StepInfo]
    layers: list[LayerInfo]
    not_drawn: str
    size: tuple[int, int]
    threshold: float
    threshold_source: str
    step: int | None


class TracesInfo(BaseModel):
    """What is open. studio: whether pictures can be made here, too."""

    version: str
    traces: list[TraceInfo]
    studio: bool = False


class Shares(BaseModel):
    """What a place takes from each token: shares of all of its attention."""

    shares: list[float]


class Tops(BaseModel):
    """The largest value of all words' maps. numbers: of the blocks or heads that the maxima are of, null: of the mean
    over all blocks."""

    numbers: list[int | None]
    maxima: list[float]


class AggregateInfo(BaseModel):
    """Long work: done of total, such as layers of steps; error in state "failed"."""

    state: Literal["absent", "running", "ready", "failed"]
    done: int = 0
    total: int = 0
    error: str = ""


class SegmentInfo(BaseModel):
    """A segment. area: in pixels; share: of the picture; scores: of every word of the prompt, mean of its map with
    unit L2 norm; box: (left, top, width, height); rle: COCO's compressed run lengths."""

    id: int
    label: str | None
    area: int
    share: float
    box: tuple[int, int, int, int]
    centroid: tuple[float, float]
    scores: list[float]
    rle: dict[str, object]


class SegmentsInfo(BaseModel):
    """A segmentation; the pixels are at /labels with the same choices. colours: sRGB of segments 0, 1, ..."""

    height: int
    width: int
    thresholds: list[float]
    colours: list[tuple[int, int, int]]
    segments: list[SegmentInfo]


class CutoutInfo(BaseModel):
    """A thing that was clicked on. area: in pixels; share: of the picture; score: how sharp its border is, 0 to 1;
    layers: paths of those whose attention answered."""

    height: int
    width: int
    area: int
    share: float
    score: float
    layers: list[str]


class WordVerdict(BaseModel):
    """What became of a word. word: its place among those of the text, None where it was cut off; verdict and where: in
    the asked language; share, peak, leads: of 1, None where it was not read."""

    word: int | None
    text: str
    says: Literal["drawn", "not drawn", "unclear", "not read", "shows nothing"]
    verdict: str
    share: float | None
    peak: float | None
    leads: float | None
    where: str


class ExplainedInfo(BaseModel):
    """Why words were drawn or not. words: all of the text; sentences: of each word that was asked for; run, limits:
    sentences about the whole run, and what attention can't prove."""

    words: list[WordVerdict]
    sentences: list[list[str]]
    run: list[str]
    limits: list[str]


class Problem(BaseModel):
    """What was wrong, in one sentence."""

    error: str

"""The JSON that the studio speaks, beside the viewer's."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from attnscope.studio.asked import RunAsked


class ModelInfo(BaseModel):
    """The model that makes pictures. state: "off" before it is asked for again after it died. What follows error is
    known once it is loaded: how many steps and which guidance are usual, the size of its pictures in pixels, and why it
    can't read photos, if so."""

    name: str
    state: Literal["off", "loading", "ready", "failed"]
    error: str = ""
    device: str = ""
    steps: int | None = None
    guidance_scale: float | None = None
    height: int | None = None
    width: int | None = None
    takes_negative: bool = False
    no_photos: str = ""


class RunInfo(BaseModel):
    """A run. place: how many come before it while it waits. seen: the step that can be looked at now. trace: the
    number of its trace, once there is one. has_picture: whether there is a picture, be it that of a step. maker: which
    browser began it."""

    number: int
    kind: Literal["picture", "photo", "trace"]
    name: str
    state: Literal["waiting", "loading", "running", "done", "stopped", "failed"]
    asked: RunAsked | None
    text: str
    place: int | None
    done: int
    total: int
    note: str
    error: str
    seen: int | None
    words: list[str]
    seconds: float | None
    created: float
    trace: int | None
    has_picture: bool
    maker: str


class StudioInfo(BaseModel):
    """Everything that changes by itself. count: grows with each change; folder: where runs are kept; guests: whether
    only the browser that began a run may change it; files: whether photos and traces may be brought."""

    count: int
    model: ModelInfo
    runs: list[RunInfo]
    folder: str
    guests: bool
    files: bool


class UploadInfo(BaseModel):
    """A trace that is about to be sent. key: where its files go."""

    key: str


class NameAsked(BaseModel):
    """Another name of a run."""

    name: str


class Code(BaseModel):
    """Python to copy."""

    python: str

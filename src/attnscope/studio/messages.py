"""What the model's process and the server tell each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from attnscope.studio.asked import RunAsked


@dataclass(frozen=True)
class ModelNamed:
    """Which model there is, as for `attnscope.load_pipeline`."""

    name: str
    config: str | None = None
    device: str | None = None
    dtype: str | None = None
    max_trace_gb: float = 8.0


@dataclass(frozen=True)
class ModelFacts:
    """What the form has to know of the model.

    Attributes:
        name: As it was named.
        device: Where it is.
        steps: How many are taken where nothing is said.
        guidance_scale: The usual one, None if the pipeline takes none.
        size_hw: (height, width) of its pictures in pixels, None if unknown.
        takes_negative: Whether it reads a negative prompt.
        no_photos: Why it can't read photos, "" if it can.
    """

    name: str
    device: str
    steps: int
    guidance_scale: float | None
    size_hw: tuple[int, int] | None
    takes_negative: bool
    no_photos: str


@dataclass(frozen=True)
class Earlier:
    """A run that another one needs: its prompt, and its trace's folder."""

    prompt: str
    trace: Path


@dataclass(frozen=True)
class MakePicture:
    """A picture to be made.

    Attributes:
        number: Of the run.
        asked: What was asked for.
        folder: Where it goes.
        earlier: The runs that it needs, by number.
    """

    number: int
    asked: RunAsked
    folder: Path
    earlier: dict[int, Earlier]


@dataclass(frozen=True)
class ReadPhoto:
    """A photo to be read with a text.

    Attributes:
        number: Of the run.
        picture: Its file.
        text: What is on it.
        folder: Where the trace goes.
    """

    number: int
    picture: Path
    text: str
    folder: Path


Job = MakePicture | ReadPhoto


@dataclass(frozen=True)
class Loading:
    """The model is being loaded."""


@dataclass(frozen=True)
class Loaded:
    """The model is there."""

    facts: ModelFacts


@dataclass(frozen=True)
class Stepped:
    """A run has taken a step: how many of all, and a sentence about what is kept, if there is one."""

    number: int
    done: int
    total: int
    note: str = ""


@dataclass(frozen=True)
class Seen:
    """What there is to see of a step.

    Attributes:
        number: Of the run.
        step: Which step, from 0.
        picture: What the model takes the picture to be, as WebP; None where that is not known.
        words: The words of the prompt.
        maps: Where each of them landed in this step, as `pack_maps` has it; None without cross-attention.
    """

    number: int
    step: int
    picture: bytes | None
    words: tuple[str, ...]
    maps: bytes | None


@dataclass(frozen=True)
class Done:
    """A run is over and its trace is there."""

    number: int
    seconds: float


@dataclass(frozen=True)
class Stopped:
    """A run was stopped."""

    number: int


@dataclass(frozen=True)
class Failed:
    """A run, or loading the model (number None), failed: in a sentence."""

    number: int | None
    error: str


Message = Loading | Loaded | Stepped | Seen | Done | Stopped | Failed

"""One run: its steps, the rows of its batch, its prompt's tokens and words, and what is known around it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Row:
    """One row of the U-Net's batch: which guidance branch of which image it is."""

    branch: str
    image: int


@dataclass(frozen=True)
class Step:
    """One call of the U-Net: its number in the run from 0, the scheduler's timestep, its batch rows."""

    index: int
    timestep: float
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Token:
    """One key position of cross-attention.

    text: what the tokenizer made of it ('star</w>' becomes 'star').
    start_char, end_char: its place in the prompt; equal for start, end and padding tokens.
    role: 'text', 'start', 'end' or 'padding'.
    """

    index: int
    text: str
    start_char: int
    end_char: int
    role: Literal["text", "start", "end", "padding"]


@dataclass(frozen=True)
class TokenSpan:
    """A word or phrase of the prompt and the numbers of its tokens."""

    word: str
    start_char: int
    end_char: int
    tokens: tuple[int, ...]


@dataclass
class Run:
    """What is known of the run around the attention; one entry an image in prompts and tokens."""

    model: str | None = None
    revision: str | None = None
    pipeline: str | None = None
    scheduler: str | None = None
    prompts: list[str] = field(default_factory=list)
    negative_prompts: list[str] = field(default_factory=list)
    tokens: list[tuple[Token, ...]] = field(default_factory=list)
    seed: int | None = None
    guidance_scale: float | None = None
    image_size_hw: tuple[int, int] | None = None
    latent_size_hw: tuple[int, int] | None = None
    planned_steps: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
    pictures: list[Image] = field(default_factory=list)

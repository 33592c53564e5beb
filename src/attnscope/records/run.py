"""One pass of a pipeline: its steps and calls, the rows of its batch, its prompt's tokens and words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Row:
    """One row of the model's batch: which guidance branch of which image it is."""

    branch: str
    image: int


@dataclass(frozen=True)
class Call:
    """One call of the model.

    index: its number in the pass, from 0. step: the number of the denoising step that it belongs to.
    timestep: as the model got it, NaN if unknown. rows: of the batch. gradients: whether autograd was on.
    """

    index: int
    step: int
    timestep: float
    rows: tuple[Row, ...]
    gradients: bool = False

    def is_like(self, other: Call) -> bool:
        """Whether nothing that is known tells the two apart, as with the views of a panorama."""
        unknown = self.timestep != self.timestep and other.timestep != other.timestep
        alike = (self.step, self.rows, self.gradients) == (other.step, other.rows, other.gradients)
        return alike and (unknown or self.timestep == other.timestep)


@dataclass(frozen=True)
class Step:
    """One denoising step, and the calls of the model that it took: one as a rule.

    Some take more: Heun's method evaluates twice, Attend-and-Excite follows gradients before it predicts, SAG looks
    at a blurred picture besides. What is asked of a step is answered by its `main` call.
    """

    index: int
    calls: tuple[Call, ...]

    @property
    def main(self) -> Call:
        """The call that predicts the noise: the first one without gradients, or the first."""
        return next((call for call in self.calls if not call.gradients), self.calls[0])

    @property
    def views(self) -> tuple[Call, ...]:
        """The calls that are like the main one, itself included: several for the views of a panorama."""
        return tuple(call for call in self.calls if call.is_like(self.main))

    @property
    def timestep(self) -> float:
        return self.main.timestep

    @property
    def rows(self) -> tuple[Row, ...]:
        return self.main.rows


def steps_of(calls: Iterable[Call]) -> tuple[Step, ...]:
    """The steps that calls make up, in the order in which they began."""
    steps: dict[int, list[Call]] = {}
    for call in calls:
        steps.setdefault(call.step, []).append(call)
    return tuple(Step(index, tuple(of_step)) for index, of_step in steps.items())


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
    """What is known of one pass of a pipeline around its attention; one entry an image in prompts and tokens."""

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

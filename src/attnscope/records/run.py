"""One pass of a pipeline: its steps and calls, the rows of its batch, its prompt's tokens and words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL.Image import Image

TextName = Literal["prompt", "negative prompt"]
_READS: dict[str, TextName] = {
    "cond": "prompt",
    "perturbed": "prompt",  # PAG: the prompt, with self-attention switched off
    "uncond": "negative prompt",
    "image": "negative prompt",  # InstructPix2Pix: the picture beside the negative prompt
}


def text_of_branch(branch: str) -> TextName | None:
    """Which text a guidance branch reads; None for a name that the user gave it.

    Args:
        branch: Name of the branch, such as 'cond'.
    """
    return _READS.get(branch)


@dataclass(frozen=True)
class Row:
    """One row of the model's batch.

    Attributes:
        branch: Guidance branch, such as 'cond'.
        image: Number of the image in the batch, from 0; the first one where a row has several.
        frames: How many images it has: in video transformers the frames of a video share a sequence.
    """

    branch: str
    image: int
    frames: int = 1

    @property
    def images(self) -> range:
        """The images that it has."""
        return range(self.image, self.image + self.frames)


@dataclass(frozen=True)
class Call:
    """One call of the model.

    Attributes:
        index: Number of the call in its pass, from 0.
        step: Number of the denoising step that it belongs to, from 0.
        timestep: As the model got it, NaN if unknown.
        rows: The rows of the batch.
        gradients: Whether autograd was on.
        extra: Whether it is for something else than the step's prediction, as a callback's or SAG's second look.
    """

    index: int
    step: int
    timestep: float
    rows: tuple[Row, ...]
    gradients: bool = False
    extra: bool = False

    @property
    def predicts(self) -> bool:
        """Whether the call may be the one that predicts the noise."""
        return not self.gradients and not self.extra

    def has(self, branch: str) -> bool:
        """Whether a row is of a branch.

        Args:
            branch: Its name.
        """
        return any(row.branch == branch for row in self.rows)

    def is_like(self, other: Call) -> bool:
        """Whether another call has the same step, rows and timestep, as the views of a panorama do.

        Args:
            other: The other call.
        """
        unknown = self.timestep != self.timestep and other.timestep != other.timestep
        one, another = ((c.step, c.rows, c.gradients, c.extra) for c in (self, other))
        return one == another and (unknown or self.timestep == other.timestep)


@dataclass(frozen=True)
class Step:
    """One denoising step and its calls of the model: one call with most samplers.

    Some take more. Heun's method evaluates twice, Attend-and-Excite follows gradients before it predicts, SAG also
    looks at a blurred picture. A question about a step is answered by its `main` call, unless `call=` chooses another.

    Attributes:
        index: Number of the step, from 0.
        calls: Its calls, in the order in which they ran.
    """

    index: int
    calls: tuple[Call, ...]

    @property
    def main(self) -> Call:
        """The call that predicts the noise: the first one without gradients, or the first."""
        return _predicting(self.calls)

    def main_of(self, branch: str) -> Call | None:
        """The call that predicts a branch, as `main` does: some pipelines call the model once for each branch.

        Args:
            branch: Name of the branch.

        Returns:
            The call, None if the step lacks the branch.
        """
        calls = [call for call in self.calls if call.has(branch)]
        return _predicting(calls) if calls else None

    def views_of(self, call: Call) -> tuple[Call, ...]:
        """The calls that look like one of the step, that one included: several for the views of a panorama.

        Args:
            call: A call of the step.
        """
        return tuple(other for other in self.calls if other.is_like(call))

    @property
    def views(self) -> tuple[Call, ...]:
        """The calls that look like the main one, that one included."""
        return self.views_of(self.main)

    @property
    def timestep(self) -> float:
        """The timestep of the main call."""
        return self.main.timestep

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows of the main call."""
        return self.main.rows


def _predicting(calls: Sequence[Call]) -> Call:
    """The first call that may predict the noise; else the first that is no extra one; else the first."""
    return next((call for call in calls if call.predicts), None) or next(
        (call for call in calls if not call.extra), calls[0]
    )


def steps_of(calls: Iterable[Call]) -> tuple[Step, ...]:
    """The steps that calls belong to, in the order in which they began.

    Args:
        calls: Calls of one pass, in order.
    """
    steps: dict[int, list[Call]] = {}
    for call in calls:
        steps.setdefault(call.step, []).append(call)
    return tuple(Step(index, tuple(of_step)) for index, of_step in steps.items())


def images_of(calls: Iterable[Call]) -> list[int]:
    """Numbers of the images that calls have, in order.

    Args:
        calls: Calls of one pass.
    """
    return sorted({image for call in calls for row in call.rows for image in row.images})


@dataclass(frozen=True)
class Token:
    """One key of cross-attention.

    Attributes:
        index: Position among the keys, from 0.
        text: The token as text: 'star</w>' becomes 'star'.
        start_char: Its first character in the prompt.
        end_char: The character after its last one; start_char for start, end and padding tokens.
        role: 'text', 'start', 'end' or 'padding'.
    """

    index: int
    text: str
    start_char: int
    end_char: int
    role: Literal["text", "start", "end", "padding"]


@dataclass(frozen=True)
class TokenSpan:
    """A word or phrase of the prompt and its tokens.

    Attributes:
        word: The text.
        start_char: Its first character in the prompt.
        end_char: The character after its last one.
        tokens: Numbers of its tokens.
    """

    word: str
    start_char: int
    end_char: int
    tokens: tuple[int, ...]


@dataclass(repr=False)
class Run:
    """What is known of one pass besides its attention.

    Attributes:
        model: Hub id or path, None if unknown.
        revision: Commit of the hub's snapshot, None if unknown.
        family: What kind of model it is: 'sd1', 'sd2', 'sdxl', another 'unet', 'sd3', 'flux' ...; None in older traces.
        pipeline: Name of the pipeline's class, None for a bare model.
        scheduler: Name of the scheduler's class.
        prompts: One an image, as the tokenizer got it. Empty if the run got embeddings.
        negative_prompts: One an image, "" where the run had none. Empty if it got embeddings, or had no guidance.
        tokens: For each image the tokens of its prompt.
        negative_tokens: For each image the tokens of its negative prompt. Empty if no branch reads it.
        second_prompts: One an image, where a second text encoder read another prompt (SDXL's prompt_2).
        second_tokens: For each image the tokens of that prompt, by the keys that they are.
        second_negative_prompts: The same for negative prompts.
        second_negative_tokens: The same for negative prompts.
        unnamed: Why tokens of a text that is known have no names, None if they have.
        seed: Seed of the generator, None if the pipeline got none.
        guidance_scale: As the pipeline got it.
        image_size_hw: (height, width) of the picture in pixels.
        latent_size_hw: (height, width) of the latent.
        planned_steps: Steps that the pipeline set out to take.
        versions: Version of Python and of each library, by name.
        pictures: The pictures that the run made, one an image.
        previews: By step a small picture for each image, from `capture(previews=True)`.
        edits: What `attnscope.edit` changed of its attention, as text.
        frames: Frames of each video; 1 for pictures. An image is a frame: image k is frame k % frames of video
            k // frames, and the frames of a video share its prompt.
    """

    model: str | None = None
    revision: str | None = None
    family: str | None = None
    pipeline: str | None = None
    scheduler: str | None = None
    prompts: list[str] = field(default_factory=list)
    negative_prompts: list[str] = field(default_factory=list)
    tokens: list[tuple[Token, ...]] = field(default_factory=list)
    negative_tokens: list[tuple[Token, ...]] = field(default_factory=list)
    second_prompts: list[str] = field(default_factory=list)
    second_tokens: list[tuple[Token, ...]] = field(default_factory=list)
    second_negative_prompts: list[str] = field(default_factory=list)
    second_negative_tokens: list[tuple[Token, ...]] = field(default_factory=list)
    unnamed: str | None = None
    seed: int | None = None
    guidance_scale: float | None = None
    image_size_hw: tuple[int, int] | None = None
    latent_size_hw: tuple[int, int] | None = None
    planned_steps: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
    pictures: Sequence[Image] = field(default_factory=list)
    previews: Mapping[int, Sequence[Image]] = field(default_factory=dict)
    frames: int = 1
    edits: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        by = self.pipeline or "a bare model"
        facts = {"model": self.model, "seed": self.seed, "guidance": self.guidance_scale}
        known = "".join(f", {name} {value}" for name, value in facts.items() if value is not None)
        prompts = f" of {', '.join(map(repr, self.prompts))}" if self.prompts else ""
        return f"<Run{prompts} by {by}{known}>"

"""What a family of denoising models is: everything that depends on how a model is built, in one description."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple, Protocol

from attnscope.atlas.families.latents import Latents
from attnscope.atlas.families.planning import Config, Planned
from attnscope.atlas.order import LayerPlace
from attnscope.records import Grid, KeyPart, Kind, QueryPart
from attnscope.records.layers import SizeHW


class Attended(NamedTuple):
    """The sequence that one call of a model attends over.

    Attributes:
        grid: Height and width of the image's part.
        latent_hw: Height and width of the latent that it was made of.
        parts: Tokens of each source by name, such as {'own': 4096, 'context': 512}.
        frames: Of a video: how many grids the image's part has, one after the other.
        rows: Of each row of the batch, how many tokens sources have that have fewer than `parts` says; () if none has.
        encoded: Tokens that the encoder of a text gave, where they are not as many as `parts` says.
    """

    grid: Grid
    latent_hw: SizeHW
    parts: Mapping[str, int]
    frames: int = 1
    rows: tuple[Mapping[str, int], ...] = ()
    encoded: Mapping[str, int] = {}

    def tokens_of(self, sources: Iterable[str]) -> tuple[tuple[str, int], ...]:
        """Names and tokens of some sources, in order; 'context' is all of its parts, and what is not there is left out.

        Args:
            sources: Their names.
        """
        return tuple(
            (name, count)
            for source in sources
            for name, count in self.parts.items()
            if name == source or name.startswith(f"{source}/")
        )

    def with_text(self, tokens: int, rows: int) -> Attended:
        """The same with room for the longest text of a pipeline's calls, so that layers have one shape in all of them.

        Args:
            tokens: How many tokens that has.
            rows: How many rows the batch has.
        """
        texts = dict(self.tokens_of(["context"]))
        more = tokens - sum(texts.values())
        if not texts or more <= 0:
            return self
        last, count = list(texts.items())[-1]
        known = self.rows or ({},) * rows
        return self._replace(
            parts={**self.parts, last: count + more},
            rows=tuple({last: count, **of_row} for of_row in known),
            encoded={last: count, **self.encoded},
        )

    def query_parts(self, sides: Sides) -> tuple[QueryPart, ...]:
        """Where an attention's queries come from; () for the places of the grid alone.

        Args:
            sides: What its queries and keys are.
        """
        parts = self.tokens_of(sides.queries)
        return () if [name for name, _ in parts] == ["own"] else tuple(QueryPart(*part) for part in parts)

    def key_parts(self, sides: Sides) -> tuple[KeyPart, ...]:
        """Where an attention's keys come from; () for the usual source of its kind.

        Args:
            sides: What its queries and keys are.
        """
        parts = self.tokens_of(sides.keys)
        return () if sides.kind != "joint" and len(parts) == 1 else tuple(KeyPart(*part) for part in parts)


class Sides(NamedTuple):
    """What an attention's queries and keys are, by the names of `Attended.parts`, in the order of the sequence.

    Attributes:
        queries: Sources of the queries.
        keys: Sources of the keys.
        named: Its kind where that does not follow from them: 'self2' beside a joint attention.
        picture_keys: Parts of the module that make keys of a picture, which have a softmax of their own beside it.
    """

    queries: tuple[str, ...]
    keys: tuple[str, ...]
    named: Kind | None = None
    picture_keys: tuple[str, ...] = ()

    @property
    def kind(self) -> Kind:
        """'self', 'cross', or 'joint' where one softmax is over several sources."""
        if self.named is not None:
            return self.named
        if self.queries == self.keys == ("own",):
            return "self"
        is_cross = self.queries == ("own",) and self.keys == ("context",)
        return "cross" if is_cross else "joint"


class Written(NamedTuple):
    """A prompt as a pipeline writes it for its tokenizer, with an instruction or in a template.

    Attributes:
        text: All of it.
        start: Where the prompt begins in it.
        dropped: Numbers of the tokens whose encodings the model does not get.
        prompt: The prompt as it is read, where the pipeline changes it; None: as it was given.
        is_complete: Whether the special tokens are written, too, so that the tokenizer adds none.
    """

    text: str
    start: int = 0
    dropped: range = range(0)
    prompt: str | None = None
    is_complete: bool = False


Write = Callable[[Any, Mapping[str, Any], str, bool], Written]
"""write(pipeline, variables of its call, text, whether it is the prompt, and not the negative one)."""


class TextPart(NamedTuple):
    """A run of text tokens that one encoder read.

    Attributes:
        name: Its name among the layers' parts, 'context' or 'context/clip'.
        tokenizers: The pipeline's attributes that hold a tokenizer of it; the first that fits what was read counts.
        prompts: The pipeline's arguments that hold its text; the first that is given counts.
        keys: How many tokens it has, None for all that are left.
        write: How the pipeline writes a text for the tokenizer; None: as it is.
        encoder: The pipeline's attribute that holds its encoder, where it may have none: then tokens are no words.
    """

    name: str
    tokenizers: tuple[str, ...]
    prompts: tuple[str, ...] = ("prompt",)
    keys: int | None = None
    write: Write | None = None
    encoder: str = ""


Rows = Literal["batch", "batch, cond first"] | tuple[str, ...]
"""Guidance branches of a call's rows: 'batch' is ('uncond', 'cond') while the pipeline guides, and ('cond',) else;
where it guides by perturbed attention (PAG), 'perturbed' comes last."""
RowsBy = Mapping[str, Rows]
"""Rows of a call by the variable of the pipeline's call that holds its conditioning."""


class Family(Planned, Protocol):
    """One way to build a denoising model."""

    @property
    def name(self) -> str:
        """For messages."""
        ...

    def label(self, config: Config) -> str:
        """What kind of model it is, in a word, such as 'sdxl' or 'flux'.

        Args:
            config: The model's configuration.
        """
        ...

    @property
    def component(self) -> str:
        """The pipeline's attribute that holds the model."""
        ...

    @property
    def later_component(self) -> str:
        """The attribute that holds a second model, for the last steps; '' where one model takes all."""
        ...

    @property
    def arguments(self) -> tuple[str, str, str]:
        """What the model's forward calls the noisy latent, the timestep and the conditioning."""
        ...

    @property
    def positions(self) -> tuple[str, ...]:
        """Arguments of forward whose numbers, not only their shapes, say what a call attends over."""
        ...

    @property
    def texts(self) -> tuple[TextPart, ...]:
        """The parts of the conditioning, in order."""
        ...

    @property
    def pipelines(self) -> Mapping[str, RowsBy]:
        """By the class of a pipeline: which rows a call has, by the variable that holds its conditioning."""
        ...

    @property
    def latents(self) -> Latents:
        """What its pipelines make of a picture's latent."""
        ...

    @property
    def unguided(self) -> float:
        """The guidance_scale with which its pipelines do not guide."""
        ...

    @property
    def left_out(self) -> Mapping[str, str]:
        """Why attentions are not recorded that are no conditioner's, by a part of their paths."""
        ...

    def is_of(self, model: Any) -> bool:
        """Whether a model is of this family.

        Args:
            model: A module.
        """
        ...

    def order(self, paths: Iterable[str]) -> tuple[LayerPlace, ...]:
        """Attentions in the order in which data passes them.

        Args:
            paths: Their module paths.
        """
        ...

    def kind(self, attention: Any, path: str) -> Kind:
        """The kind of an attention.

        Args:
            attention: Its module.
            path: The module's path.
        """
        ...

    def not_recorded(self, path: str) -> str | None:
        """Why an attention is not recorded; None if it is.

        Args:
            path: Its module's path.
        """
        ...

    def map_owner(self, path: str) -> str:
        """The module whose input is the feature map that an attention reads; '' where `attended` tells.

        Args:
            path: The attention's module path.
        """
        ...

    def sides(self, path: str) -> Sides | None:
        """What an attention's queries and keys are; None where only what it computes tells.

        Args:
            path: The attention's module path.
        """
        ...

    def attended(self, config: Config, arguments: Mapping[str, Any]) -> Attended | None:
        """What one call of the model attends over; None where feature maps tell.

        Args:
            config: The model's configuration.
            arguments: Of its forward, by name.
        """
        ...

    def longest_text(self, names: Iterable[str], variables: Mapping[str, Any]) -> int:
        """How many tokens the longest text has that a pipeline's call gives to the model.

        Args:
            names: The variables that hold conditionings.
            variables: All variables of the pipeline's call.
        """
        ...

    def frame_axis(self, paths: Iterable[str]) -> int:
        """Of a noisy latent with five axes.

        Args:
            paths: Module paths of the model.
        """
        ...

"""What a family of denoising models is: everything that depends on how a model is built, in one description."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from attnscope.atlas.order import LayerPlace
from attnscope.records import Grid, Kind
from attnscope.records.layers import SizeHW

Config = Mapping[str, Any]
"""A model's configuration, as in its config.json."""


class Attended(NamedTuple):
    """The sequence that one call of a model attends over.

    Attributes:
        grid: Height and width of the image's part.
        latent_hw: Height and width of the latent that it was made of.
        parts: Tokens of each source by name, such as {'own': 4096, 'context': 512}.
    """

    grid: Grid
    latent_hw: SizeHW
    parts: Mapping[str, int]

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


class Sides(NamedTuple):
    """What an attention's queries and keys are, by the names of `Attended.parts`, in the order of the sequence.

    Attributes:
        queries: Sources of the queries.
        keys: Sources of the keys.
        named: Its kind where that does not follow from them: 'self2' beside a joint attention.
    """

    queries: tuple[str, ...]
    keys: tuple[str, ...]
    named: Kind | None = None

    @property
    def kind(self) -> Kind:
        """'self', 'cross', or 'joint' where one softmax is over several sources."""
        if self.named is not None:
            return self.named
        if self.queries == self.keys == ("own",):
            return "self"
        is_cross = self.queries == ("own",) and self.keys == ("context",)
        return "cross" if is_cross else "joint"


class TextPart(NamedTuple):
    """A run of text tokens that one encoder read.

    Attributes:
        name: Its name among the layers' parts, 'context' or 'context/clip'.
        tokenizers: The pipeline's attributes that hold a tokenizer of it; the first that fits what was read counts.
        prompts: The pipeline's arguments that hold its text; the first that is given counts.
        keys: How many tokens it has, None for all that are left.
    """

    name: str
    tokenizers: tuple[str, ...]
    prompts: tuple[str, ...] = ("prompt",)
    keys: int | None = None


Rows = Literal["batch", "batch, cond first"] | tuple[str, ...]
"""Guidance branches of a call's rows: 'batch' is ('uncond', 'cond') while the pipeline guides, and ('cond',) else."""
RowsBy = Mapping[str, Rows]
"""Rows of a call by the variable of the pipeline's call that holds its conditioning."""


class Family(Protocol):
    """One way to build a denoising model."""

    @property
    def name(self) -> str:
        """For messages."""
        ...

    @property
    def component(self) -> str:
        """The pipeline's attribute that holds the model."""
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

    def frame_axis(self, paths: Iterable[str]) -> int:
        """Of a noisy latent with five axes.

        Args:
            paths: Module paths of the model.
        """
        ...


@dataclass(frozen=True)
class Blocks:
    """A list of transformer blocks.

    Attributes:
        path: Its module path, such as 'transformer_blocks'.
        count: The option of the configuration that says how many there are.
        attentions: The attentions of each block by name, in the order in which they run.
        stage: What the list is called in tables; its path without '_blocks' where nothing is said.
        has: Whether a block, by its number, has an attention; every one has all of them where nothing is said.
    """

    path: str
    count: str
    attentions: Mapping[str, Sides]
    stage: str
    has: Callable[[Config, int, str], bool] = lambda config, block, name: True


@dataclass(frozen=True)
class Transformer:
    """A family of transformers over one sequence of tokens, in lists of blocks that run one after the other.

    Attributes:
        name: For messages.
        models: Names of the model's classes.
        blocks: Its lists of blocks, in the order in which they run.
        attend: What a call attends over, from the configuration and the arguments of forward.
        plan: Grid of the image for a latent of some size, from the configuration.
        texts: The parts of the conditioning, in order.
        text_lengths: Tokens of each text part where nothing else says, by its name.
        pipelines: By the class of a pipeline: rows of a call by the variable that holds its conditioning.
        left_out: Why attentions below a module are not recorded, by the module's path.
        latent_side: Sides of the latent that the model was made for; 0: the configuration's sample_size.
        component: The pipeline's attribute that holds the model.
        arguments: What forward calls the noisy latent, the timestep and the conditioning.
        positions: Arguments of forward whose numbers, not only their shapes, say what a call attends over.
    """

    name: str
    models: tuple[str, ...]
    blocks: tuple[Blocks, ...]
    attend: Callable[[Config, Mapping[str, Any]], Attended]
    plan: Callable[[Config, SizeHW], Grid]
    texts: tuple[TextPart, ...]
    text_lengths: Mapping[str, int]
    pipelines: Mapping[str, RowsBy]
    left_out: Mapping[str, str] = field(default_factory=dict)
    latent_side: int = 0
    component: str = "transformer"
    arguments: tuple[str, str, str] = ("hidden_states", "timestep", "encoder_hidden_states")
    positions: tuple[str, ...] = ()

    def is_of(self, model: Any) -> bool:
        """Whether a model is of one of the classes, or of a child of one.

        Args:
            model: A module.
        """
        return any(parent.__name__ in self.models for parent in type(model).__mro__)

    def order(self, paths: Iterable[str]) -> tuple[LayerPlace, ...]:
        """Attentions in the order in which data passes them: list after list, block after block.

        Args:
            paths: Their module paths.
        """
        there = sorted((found, path) for path in paths if (found := self._place(path)) is not None)
        numbers = {
            at: number for number, at in enumerate(dict.fromkeys(place[:2] for place, _ in there), start=1)
        }
        return tuple(
            LayerPlace(numbers[place[:2]], self.blocks[place[0]].stage, path) for place, path in there
        )

    def kind(self, attention: Any, path: str) -> Kind:
        """The kind of an attention.

        Args:
            attention: Its module.
            path: The module's path.
        """
        sides = self.sides(path)
        assert sides is not None, path
        return sides.kind

    def not_recorded(self, path: str) -> str | None:
        """Why an attention is not recorded; None if it is.

        Args:
            path: Its module's path.
        """
        if self._place(path) is not None:
            return None
        known = (why for start, why in self.left_out.items() if path.startswith(f"{start}."))
        return next(known, "attention outside the blocks, over what conditions the model")

    def map_owner(self, path: str) -> str:
        """No module: `attended` tells the grid.

        Args:
            path: The attention's module path.
        """
        return ""

    def sides(self, path: str) -> Sides:
        """What an attention's queries and keys are.

        Args:
            path: The attention's module path.
        """
        place = self._place(path)
        assert place is not None, path
        at, _, rank = place
        return list(self.blocks[at].attentions.values())[rank]

    def attended(self, config: Config, arguments: Mapping[str, Any]) -> Attended:
        """What one call of the model attends over.

        Args:
            config: The model's configuration.
            arguments: Of its forward, by name.
        """
        return self.attend(config, arguments)

    def frame_axis(self, paths: Iterable[str]) -> int:
        """Of a noisy latent with five axes.

        Args:
            paths: Module paths of the model.
        """
        return 2

    def _place(self, path: str) -> tuple[int, int, int] | None:
        """Number of the list, of the block in it and of the attention in that; None for one outside the lists."""
        for at, blocks in enumerate(self.blocks):
            if path.startswith(f"{blocks.path}."):
                number, _, name = path.removeprefix(f"{blocks.path}.").partition(".")
                names = list(blocks.attentions)
                return (at, int(number), names.index(name)) if number.isdigit() and name in names else None
        return None


def text_parts(texts: Sequence[TextPart], tokens: int) -> dict[str, int]:
    """How many of a conditioning's tokens each of its parts has.

    Args:
        texts: Its parts, in order.
        tokens: How many tokens it has.
    """
    counts: dict[str, int] = {}
    for part in texts:
        left = tokens - sum(counts.values())
        counts[part.name] = left if part.keys is None else min(part.keys, left)
    return {name: count for name, count in counts.items() if count}

"""What is said of a family of transformers. To write one: docs/adding-a-model.md."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from attnscope.atlas.families.blocks import Blocks, heads_of
from attnscope.atlas.families.family import Attended, RowsBy, Sides, TextPart
from attnscope.atlas.families.latents import SHIFTED, Latents
from attnscope.atlas.families.planning import Config, Known
from attnscope.atlas.order import LayerPlace
from attnscope.records import Grid, Kind
from attnscope.records.layers import SizeHW


def _one(config: Config) -> int:
    return 1


def _nothing(config: Config, pipeline: str, grid: Grid) -> Mapping[str, int]:
    return {}


@dataclass(frozen=True)
class Description:
    """What is said of a family of transformers: one sequence of tokens, lists of blocks that run one after the other.

    Attributes:
        id: What kind of model it is, in a word, such as 'flux'.
        name: For messages.
        models: Names of the model's classes.
        blocks: Its lists of blocks, in the order in which they run (see `Blocks`).
        attend: What a call attends over, from the configuration and the arguments of forward.
        plan: Grid of the image for a latent of some size, from the configuration. Sides that are no multiple of a
            patch are rounded down.
        texts: The parts of the conditioning, in order.
        text_lengths: Tokens of each text part where nothing else says, by its name; and of parts that have as many in
            every call, such as registers.
        text_lengths_by: The same by the class of a pipeline, where its calls have other lengths.
        besides: Tokens of other parts, such as a reference picture, from the configuration, the pipeline's class and
            the grid.
        frames: Of a video: grids of the image's part, from the configuration; where that does not tell, those of a
            video as long as the pipeline makes it.
        heads: Heads and channels of a head, from the configuration and the attention's name in its block.
        guides: Whether its pipelines guide with an unconditional row or call where nothing is said.
        defaults: diffusers' own values of options that a configuration may lack.
        older_names: Classes of older configurations, each with the options that tell that they are of this family.
        known: Models by name.
        pixels_per_latent: Pixels along each side of a latent position, where no autoencoder tells.
        pipelines: By the class of a pipeline: rows of a call by the variable that holds its conditioning.
        left_out: Why attentions are not recorded, by the path of a module that they are in, or by their own name.
        latent_side: Sides of the latent that the model was made for; 0: the configuration's sample_size.
        component: The pipeline's attribute that holds the model.
        later_component: The attribute that holds a second model, for the last steps, in pipelines that have one.
        arguments: What forward calls the noisy latent, the timestep and the conditioning.
        positions: Arguments of forward whose numbers, not only their shapes, say what a call attends over.
        most_places: Along a side, how many have positions, from the configuration; None where there is no end.
        latents: What its pipelines make of a picture's latent (see `Latents`).
        unguided: The guidance_scale with which its pipelines do not guide.
        longest: Tokens of the longest text, from the variables of a pipeline's call; None: the longest conditioning's.
    """

    id: str
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
    later_component: str = ""
    arguments: tuple[str, str, str] = ("hidden_states", "timestep", "encoder_hidden_states")
    positions: tuple[str, ...] = ()
    most_places: Callable[[Config], int] | None = None
    latents: Latents = SHIFTED
    unguided: float = 1.0
    longest: Callable[[Mapping[str, Any]], int] | None = None
    text_lengths_by: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    besides: Callable[[Config, str, Grid], Mapping[str, int]] = _nothing
    frames: Callable[[Config], int] = _one
    heads: Callable[[Config, str], tuple[int, int]] = heads_of
    guides: bool = True
    defaults: Config = field(default_factory=dict)
    older_names: Mapping[str, Config] = field(default_factory=dict)
    known: Mapping[str, Known] = field(default_factory=dict)
    pixels_per_latent: int = 8

    def order(self, paths: Iterable[str]) -> tuple[LayerPlace, ...]:
        """Attentions in the order in which data passes them: list after list, block after block.

        Args:
            paths: Their module paths.
        """
        there = sorted((found, path) for path in paths if (found := self.place(path)) is not None)
        numbers = {
            at: number for number, at in enumerate(dict.fromkeys(place[:2] for place, _ in there), start=1)
        }
        return tuple(
            LayerPlace(numbers[place[:2]], self.blocks[place[0]].stage, path) for place, path in there
        )

    def closed_to_words(self, config: Config, kinds: Collection[Kind]) -> str:
        """A text goes through layers together with the image, or through layers of its own before.

        Args:
            config: The model's configuration.
            kinds: Kinds of the attentions that are captured.
        """
        if "joint" in kinds:
            return (
                "carries its text through the layers together with the image, so keys of another text are made only in "
                "a run with that text"
            )
        return "makes keys of a text in more steps than a trace keeps (a projection before the layers, norms of keys)"

    def attention(self, path: str) -> tuple[str, Sides]:
        """An attention's name in its block, and what its queries and keys are.

        Args:
            path: Its module path.
        """
        place = self.place(path)
        assert place is not None, path
        at, _, rank = place
        return list(self.blocks[at].attentions.items())[rank]

    def lacks(self, kind: Kind) -> str | None:
        """What its models have in place of a kind of attention; None where that is recorded.

        Args:
            kind: 'self' or 'cross'.
        """
        kinds = {sides.kind for blocks in self.blocks for sides in blocks.attentions.values()}
        return None if kinds & {kind, "joint"} else "; ".join(self.left_out.values()) or None

    def place(self, path: str) -> tuple[int, int, int] | None:
        """Number of the list, of the block in it and of the attention in that; None for one outside the lists.

        Args:
            path: An attention's module path.
        """
        for at, blocks in enumerate(self.blocks):
            if path.startswith(f"{blocks.path}."):
                number, _, name = path.removeprefix(f"{blocks.path}.").partition(".")
                names = list(blocks.attentions)
                return (at, int(number), names.index(name)) if number.isdigit() and name in names else None
        return None

"""A description for transformers: one sequence of tokens, and lists of blocks that run one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from attnscope.atlas.families.family import Attended, Config, RowsBy, Sides, TextPart
from attnscope.atlas.order import LayerPlace
from attnscope.records import Grid, Kind
from attnscope.records.layers import SizeHW

_SIDE = 64
"""Of a latent that any patch divides."""


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
        id: What kind of model it is, in a word, such as 'flux'.
        name: For messages.
        models: Names of the model's classes.
        blocks: Its lists of blocks, in the order in which they run.
        attend: What a call attends over, from the configuration and the arguments of forward.
        plan: Grid of the image for a latent of some size, from the configuration.
        texts: The parts of the conditioning, in order.
        text_lengths: Tokens of each text part where nothing else says, by its name.
        pipelines: By the class of a pipeline: rows of a call by the variable that holds its conditioning.
        left_out: Why attentions are not recorded, by the path of a module that they are in, or by their own name.
        latent_side: Sides of the latent that the model was made for; 0: the configuration's sample_size.
        component: The pipeline's attribute that holds the model.
        later_component: The attribute that holds a second model, for the last steps, in pipelines that have one.
        arguments: What forward calls the noisy latent, the timestep and the conditioning.
        positions: Arguments of forward whose numbers, not only their shapes, say what a call attends over.
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
    longest: Callable[[Mapping[str, Any]], int] | None = None

    def label(self, config: Config) -> str:
        """What kind of model it is, in a word.

        Args:
            config: The model's configuration.
        """
        return self.id

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
        known = (
            why
            for part, why in self.left_out.items()
            if path.startswith(f"{part}.") or path.endswith(f".{part}")
        )
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

    def longest_text(self, names: Iterable[str], variables: Mapping[str, Any]) -> int:
        """How many tokens the longest text has that a pipeline's call gives to the model.

        Args:
            names: The variables that hold conditionings.
            variables: All variables of the pipeline's call.
        """
        if self.longest is not None:
            return self.longest(variables)
        held: list[Any] = [variables.get(name) for name in names]
        return max((some.shape[1] for some in held if getattr(some, "ndim", 0) == 3), default=0)

    def patch(self, config: Config) -> int:
        """Latent positions along a side of one place.

        Args:
            config: The model's configuration.
        """
        return _SIDE // self.plan(config, (_SIDE, _SIDE)).height

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


def patches(config: Config, latent: SizeHW) -> Grid:
    """The grid of a latent that is cut into square patches.

    Args:
        config: The model's configuration.
        latent: Height and width of the latent.
    """
    patch = config["patch_size"]
    return Grid(latent[0] // patch, latent[1] // patch)


def attend_patches(config: Config, arguments: Mapping[str, Any]) -> Attended:
    """What a call attends over that gets a latent, which it cuts into patches, and one text.

    Args:
        config: The model's configuration.
        arguments: Of its forward, by name.
    """
    latent = tuple(arguments["hidden_states"].shape[-2:])
    grid = patches(config, latent)
    text = arguments["encoder_hidden_states"].shape[1]
    return Attended(grid, latent, {"own": grid.places, "context": text})

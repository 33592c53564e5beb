"""Transformers: one sequence of tokens, and lists of blocks that run one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from attnscope.atlas.families.blocks import Blocks
from attnscope.atlas.families.description import Description
from attnscope.atlas.families.family import Attended, Sides, TextPart
from attnscope.atlas.families.planning import Config, Setting, both_sides, reading
from attnscope.atlas.order import LayerPlace
from attnscope.errors import ModelError
from attnscope.records import Grid, Kind, Layer, LayerId
from attnscope.records.layers import SizeHW

__all__ = ["Blocks", "Transformer"]

_LARGEST_PATCH = 64


@dataclass(frozen=True)
class Transformer(Description):
    """A family of transformers over one sequence of tokens: what follows from its description."""

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

    def takes(self, config: Config) -> bool:
        """Whether a model with some configuration is of one of the classes.

        Args:
            config: The contents of its config.json.
        """
        name = config.get("_class_name")
        older = self.older_names.get(name) if isinstance(name, str) else None
        return name in self.models or (older is not None and older.items() <= config.items())

    def native_latent(self, config: Config) -> SizeHW | None:
        """Height and width of the latent that a model was made for.

        Args:
            config: The model's configuration.
        """
        options = {**self.defaults, **config}
        sample = self.latent_side or options.get("sample_size")
        if sample is None and "sample_height" in options:
            sample = (options["sample_height"], options.get("sample_width"))
        return both_sides(sample)

    def patch(self, config: Config) -> int:
        """The smallest latent of which something is left.

        Args:
            config: The model's configuration.
        """
        sides = (side for side in range(1, _LARGEST_PATCH) if self._grid(config, (side, side)).places)
        if (smallest := next(sides, None)) is None:
            raise ModelError(
                f"the configuration of a {self.name} has patches of {_LARGEST_PATCH} or more latent places"
            )
        return smallest

    def planned(self, setting: Setting) -> tuple[Layer, ...]:
        """The attentions of one call, for one row.

        Args:
            setting: What the run is planned with.
        """
        config = {**self.defaults, **setting.config}
        grid = self._grid(config, setting.latent_hw)
        with reading(f"the configuration of a {self.name}"):
            if not isinstance(frames := setting.frames or self.frames(config), int):
                raise ValueError(f"{frames} frames")
            others = {**self.besides(config, setting.pipeline, grid), **self._texts(setting)}
            attended = Attended(
                grid, setting.latent_hw, {"own": frames * grid.places, **others}, frames=frames
            )
            paths = [path for blocks in self.blocks for path in blocks.paths(config)]
            layers: dict[LayerId, Layer] = {}
            for place in self.order(paths):
                layer = self._planned(place, config, attended)
                if layer.id in layers:  # as a capture names a second one
                    layer = replace(layer, kind=f"{layer.kind}2")
                layers[layer.id] = layer
        return tuple(layers.values())

    def calls(self, pipeline: str, guidance: bool | None) -> tuple[int, ...]:
        """Rows of one picture in each of the model's calls in a step.

        Args:
            pipeline: Class of the pipeline, '' where that is not known.
            guidance: Whether it guides; None: as it does where nothing is said.
        """
        rows = self.pipelines.get(pipeline) or next(iter(self.pipelines.values()))
        guided = self.guides if guidance is None else guidance
        if any(isinstance(branches, str) for branches in rows.values()):
            return (2,) if guided else (1,)
        named = [branches for branches in rows.values() if {*branches} & {"cond", "uncond"}]
        return tuple(map(len, named)) if guided else (1,)

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
        if self.place(path) is not None:
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
        return self.attention(path)[1]

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

    def frame_axis(self, paths: Iterable[str]) -> int:
        """Of a noisy latent with five axes.

        Args:
            paths: Module paths of the model.
        """
        return 2

    def _texts(self, setting: Setting) -> dict[str, int]:
        """Tokens of each part of the text, and of what else has a length of its own, such as registers."""
        lengths = {**self.text_lengths, **self.text_lengths_by.get(setting.pipeline, {})}
        texts = {part.name: lengths.pop(part.name) for part in self.texts}
        return {**lengths, **(texts if setting.tokens is None else text_parts(self.texts, setting.tokens))}

    def _planned(self, place: LayerPlace, config: Config, attended: Attended) -> Layer:
        name, sides = self.attention(place.path)
        heads, head_dim = self.heads(config, name)
        return Layer(
            block=place.block,
            kind=sides.kind,
            path=place.path,
            stage=place.stage,
            grid=attended.grid,
            heads=heads,
            head_dim=head_dim,
            keys=sum(tokens for _, tokens in attended.tokens_of(sides.keys)),
            parts=attended.key_parts(sides),
            query_parts=attended.query_parts(sides),
            frames=attended.frames,
        )

    def _grid(self, config: Config, latent_hw: SizeHW) -> Grid:
        with reading(f"the configuration of a {self.name}"):
            grid = self.plan({**self.defaults, **config}, latent_hw)
            if not all(isinstance(side, int) and side >= 0 for side in grid):
                raise ValueError(f"a grid of {grid} places")
        return grid


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

"""The U-Net as sections of residual units and transformer blocks, worked out from its configuration.

Repeats the arithmetic of diffusers' UNet2DConditionModel: nothing is built, no torch is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from attnscope.atlas.options import STYLES, Depth, Style, UNetOptions, read_options
from attnscope.errors import ModelError
from attnscope.records import Grid, Kind, Stage


@dataclass(frozen=True)
class Block:
    """A numbered block.

    Attributes:
        number: Block number in execution order, from 1.
        attentions: Kind and module path of each attention, in execution order.
    """

    number: int
    attentions: tuple[tuple[Kind, str], ...]


@dataclass(frozen=True)
class Unit:
    """A residual unit and the blocks that follow it.

    Attributes:
        path: The residual unit's module path.
        blocks: The blocks after it, () without attention.
    """

    path: str
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True)
class Section:
    """One down, mid or up block of the U-Net: residual units on the same grid.

    Attributes:
        stage: 'down', 'mid' or 'up'.
        path: Module path, such as `down_blocks.0`.
        type: Block type in diffusers, such as 'CrossAttnDownBlock2D'.
        level: 0 for the finest grid, 1 for the next, ...
        grid: Height and width in latent positions.
        channels: Channels of the features.
        heads: Attention heads of each layer.
        units: The residual units in execution order.
        resamples: Whether the grid is halved (down) or doubled (up) afterwards.
    """

    stage: Stage
    path: str
    type: str
    level: int
    grid: Grid
    channels: int
    heads: int
    units: tuple[Unit, ...]
    resamples: bool = False

    @property
    def head_dim(self) -> int:
        """Channels of one head."""
        return self.channels // self.heads

    @property
    def blocks(self) -> tuple[Block, ...]:
        """All blocks of the section in execution order."""
        return tuple(block for unit in self.units for block in unit.blocks)


def plan_unet(config: Mapping[str, Any], latent: Grid) -> tuple[Section, ...]:
    """All sections of a U-Net in execution order.

    Args:
        config: The contents of the U-Net's config.json.
        latent: Height and width of the latent.

    Raises:
        ModelError: The attention of a block type or an option is not understood. The message names it.
    """
    options = read_options(config)
    grids = _grids(latent, options.levels, options.padding)
    sections = [*_down(options, grids), *_mid(options, grids), *_up(options, grids)]
    for section in sections:
        if section.channels < section.heads:
            raise ModelError(f"{section.path} has {section.channels} channels for {section.heads} heads")
    numbers = count(1)
    return tuple(replace(unnumbered, units=_numbered(unnumbered.units, numbers)) for unnumbered in sections)


def _grids(latent: Grid, levels: int, padding: int) -> list[Grid]:
    """Grid of each level: a 3x3 convolution of stride 2 gives ceil(side / 2) with padding 1, floor with 0."""
    grids = [latent]
    for _ in range(levels - 1):
        height, width = grids[-1]
        grids.append(Grid((height + padding) // 2, (width + padding) // 2))
    return grids


def _down(options: UNetOptions, grids: list[Grid]) -> Iterator[Section]:
    for level, kind in enumerate(options.down_types):
        path, only_cross = f"down_blocks.{level}", options.only_cross[level]
        units = _units(STYLES[kind], path, options.units[level], options.depths[level], only_cross)
        heads = _heads(options, STYLES[kind], level, level)
        resamples = level < options.levels - 1
        yield Section(
            "down", path, kind, level, grids[level], options.channels[level], heads, units, resamples
        )


def _mid(options: UNetOptions, grids: list[Grid]) -> Iterator[Section]:
    if options.mid_type is None:
        return
    style, level = STYLES[options.mid_type], options.levels - 1
    depth = options.depths[level]
    depth = depth if isinstance(depth, int) else depth[:1]  # the mid block has one transformer only
    units = _units(style, "mid_block", 1, depth, only_cross=False)
    if style == "transformer":
        units = (*units, Unit("mid_block.resnets.1"))
    heads = options.heads[level]
    yield Section(
        "mid", "mid_block", options.mid_type, level, grids[level], options.channels[level], heads, units
    )


def _up(options: UNetOptions, grids: list[Grid]) -> Iterator[Section]:
    for i, kind in enumerate(options.up_types):
        level = options.levels - 1 - i
        path, only_cross = f"up_blocks.{i}", options.only_cross[level]
        units = _units(STYLES[kind], path, options.units[level] + 1, options.up_depths[i], only_cross)
        heads = _heads(options, STYLES[kind], level, i)
        yield Section("up", path, kind, level, grids[level], options.channels[level], heads, units, level > 0)


def _heads(options: UNetOptions, style: Style, level: int, position: int) -> int:
    """Heads of a section, whose own number is `position`: diffusers does not reverse head_dims on the way up."""
    if style == "plain":
        return max(1, options.channels[level] // options.head_dims[position])
    return options.heads[level]


def _units(style: Style, path: str, unit_count: int, depth: Depth, only_cross: bool) -> tuple[Unit, ...]:
    depths = [depth] * unit_count if isinstance(depth, int) else list(depth)
    if len(depths) != unit_count:
        raise ModelError(
            f"{path} has {unit_count} residual units but {len(depths)} numbers of transformer blocks"
        )
    return tuple(
        Unit(f"{path}.resnets.{i}", tuple(_blocks(style, f"{path}.attentions.{i}", depths[i], only_cross)))
        for i in range(unit_count)
    )


def _blocks(style: Style, path: str, depth: int, only_cross: bool) -> Iterator[Block]:
    """Blocks after one residual unit, not yet numbered."""
    if style == "plain":
        yield Block(0, (("self", path),))
    if style == "transformer":
        first, second = ("cross", "cross2") if only_cross else ("self", "cross")
        for i in range(depth):
            inner = f"{path}.transformer_blocks.{i}"
            yield Block(0, ((first, f"{inner}.attn1"), (second, f"{inner}.attn2")))


def _numbered(units: tuple[Unit, ...], numbers: Iterator[int]) -> tuple[Unit, ...]:
    return tuple(
        replace(unit, blocks=tuple(replace(block, number=next(numbers)) for block in unit.blocks))
        for unit in units
    )

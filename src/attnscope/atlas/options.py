"""A U-Net's configuration, checked, with one value per level, finest level first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from attnscope.errors import ModelError

Style = Literal["none", "transformer", "plain"]

STYLES: Mapping[str, Style] = {  # block type: the attention that stands after each of its residual units
    "DownBlock2D": "none",
    "UpBlock2D": "none",
    "UNetMidBlock2D": "none",
    "CrossAttnDownBlock2D": "transformer",
    "CrossAttnUpBlock2D": "transformer",
    "UNetMidBlock2DCrossAttn": "transformer",
    "AttnDownBlock2D": "plain",
    "AttnUpBlock2D": "plain",
}
_HARMLESS = {"dual_cross_attention": (False, None), "attention_type": ("default", None)}
_DEFAULT_HEADS = 8
_DEFAULT_UNITS = 2
_MOST_BLOCKS = (
    200  # residual units of a section, and transformer blocks after one; anybody may have written the file
)

Depth = int | Sequence[int]  # transformer blocks per residual unit: one number, or one for each unit


@dataclass(frozen=True)
class UNetOptions:
    """The options that decide which attention a U-Net has.

    Lists hold one value per level, finest level first, unless stated otherwise.

    Attributes:
        down_types: Block types of the down path.
        mid_type: Block type of the middle, None without one.
        up_types: Block types of the up path, coarsest level first.
        channels: Channels of each level.
        heads: Attention heads of each level.
        head_dims: What diffusers' AttnDownBlock2D and AttnUpBlock2D take for the dimension of a head.
        units: Residual units in each down block. An up block has one more.
        depths: Transformer blocks after each residual unit of the down path.
        up_depths: The same for the up path, coarsest level first.
        only_cross: Whether a transformer block has cross-attention in place of self-attention.
        padding: Padding of the convolutions that halve the grid, 0 or 1.
    """

    down_types: tuple[str, ...]
    mid_type: str | None
    up_types: tuple[str, ...]
    channels: list[int]
    heads: list[int]
    head_dims: list[int]
    units: list[int]
    depths: list[Depth]
    up_depths: list[Depth]
    only_cross: list[bool]
    padding: int

    @property
    def levels(self) -> int:
        """How many grids the U-Net has."""
        return len(self.down_types)


def read_options(config: Mapping[str, Any]) -> UNetOptions:
    """Read a diffusers configuration of a UNet2DConditionModel, with diffusers' own defaults.

    Args:
        config: The contents of the U-Net's config.json.

    Raises:
        ModelError: An option is missing or malformed, or its attention is not understood. The message names it.
    """
    downs, ups = _names(config, "down_block_types"), _names(config, "up_block_types")
    levels = len(downs)
    channels = _per_level(config, "block_out_channels", levels, None)
    if len(ups) != levels:
        raise ModelError(f"the configuration has {levels} down_block_types but {len(ups)} up_block_types")
    options = UNetOptions(
        down_types=downs,
        mid_type=config.get("mid_block_type", "UNetMidBlock2DCrossAttn"),
        up_types=ups,
        channels=channels,
        heads=_heads(config, levels),
        head_dims=_per_level(config, "attention_head_dim", levels, _DEFAULT_HEADS),
        units=_per_level(config, "layers_per_block", levels, _DEFAULT_UNITS),
        depths=_depths(config, levels),
        up_depths=_up_depths(config, levels),
        only_cross=_flags(config, levels),
        padding=config.get("downsample_padding", 1),
    )
    _refuse_too_many(options)
    _refuse_unknown(config, options)
    return options


def _refuse_unknown(config: Mapping[str, Any], options: UNetOptions) -> None:
    for name in (*options.down_types, options.mid_type, *options.up_types):
        if name is not None and (not isinstance(name, str) or name not in STYLES):
            raise ModelError(
                f"the atlas does not know the attention of block type {name!r}, only of {', '.join(STYLES)}"
            )
    for key, harmless in _HARMLESS.items():
        if config.get(key) not in harmless:
            raise ModelError(
                f"the atlas does not know what {key}={config[key]!r} adds; capture the model itself instead"
            )
    if options.padding not in (0, 1):
        raise ModelError(f"the configuration has downsample_padding={options.padding!r}, expected 0 or 1")


def _refuse_too_many(options: UNetOptions) -> None:
    depths = [[depth] if isinstance(depth, int) else depth for depth in (*options.depths, *options.up_depths)]
    most = max(*options.units, *(number for depth in depths for number in depth))
    if most > _MOST_BLOCKS:
        raise ModelError(
            f"the configuration has {most} residual units, or transformer blocks after one; expected at most "
            f"{_MOST_BLOCKS}"
        )


def _names(config: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = config.get(key)
    if not isinstance(value, (list, tuple)) or not value or not all(isinstance(name, str) for name in value):
        raise ModelError(
            f"the configuration has {key}={value!r}, expected a list of block types: is it a U-Net's?"
        )
    return tuple(value)


def _heads(config: Mapping[str, Any], levels: int) -> list[int]:
    """Heads per level. attention_head_dim holds their NUMBER: a name that diffusers keeps for old files."""
    key = "attention_head_dim" if config.get("num_attention_heads") is None else "num_attention_heads"
    return _per_level(config, key, levels, _DEFAULT_HEADS)


def _per_level(config: Mapping[str, Any], key: str, levels: int, default: int | None) -> list[int]:
    value = config.get(key, default)
    values = list(value) if isinstance(value, (list, tuple)) else [value] * levels
    if len(values) != levels or not all(_is_positive(number) for number in values):
        raise ModelError(
            f"the configuration has {key}={value!r}, expected one positive number or {levels} of them"
        )
    return values


def _flags(config: Mapping[str, Any], levels: int) -> list[bool]:
    value = config.get("only_cross_attention", False)
    flags = list(value) if isinstance(value, (list, tuple)) else [value] * levels
    if len(flags) != levels or not all(isinstance(flag, bool) for flag in flags):
        raise ModelError(
            f"the configuration has only_cross_attention={value!r}, expected a truth value or {levels}"
        )
    return flags


def _depths(config: Mapping[str, Any], levels: int, key: str = "transformer_layers_per_block") -> list[Depth]:
    value = config.get(key, 1)
    depths = list(value) if isinstance(value, (list, tuple)) else [value] * levels
    if len(depths) != levels or not all(_is_depth(depth) for depth in depths):
        raise ModelError(
            f"the configuration has {key}={value!r}, expected one positive number or {levels} entries"
        )
    return depths


def _up_depths(config: Mapping[str, Any], levels: int) -> list[Depth]:
    key = "reverse_transformer_layers_per_block"
    if config.get(key) is not None:
        return _depths(config, levels, key)
    depths = _depths(config, levels)[::-1]
    if not all(isinstance(depth, int) for depth in depths):
        raise ModelError(
            f"transformer_layers_per_block holds lists, so the configuration needs {key} as well"
        )
    return depths


def _is_depth(value: object) -> bool:
    return _is_positive(value) or (
        isinstance(value, (list, tuple)) and all(_is_positive(depth) for depth in value)
    )


def _is_positive(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0

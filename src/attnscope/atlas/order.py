"""Block numbers: attention modules in the order in which data passes them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from attnscope.errors import ModelError
from attnscope.records import Stage

_STAGES: dict[str, Stage] = {"down_blocks": "down", "mid_block": "mid", "up_blocks": "up"}
_STAGE_RANK: dict[Stage, int] = {"down": 0, "mid": 1, "up": 2}
_LEAF_RANK = {"attn1": 0, "attn2": 2}  # anything else inside a block, as GLIGEN's fuser, runs between the two


@dataclass(frozen=True)
class LayerPlace:
    """Where an attention module stands in the U-Net.

    Attributes:
        block: Block number in execution order, from 1.
        stage: 'down', 'mid' or 'up'.
        path: The module's path, as in `unet.named_modules()`.
    """

    block: int
    stage: Stage
    path: str


def execution_order(paths: Iterable[str]) -> tuple[LayerPlace, ...]:
    """Attention modules in the order in which data passes them, with their block numbers.

    The attentions of one transformer block (attn1, attn2) share its number. An attention outside a transformer
    block has a number of its own.

    Args:
        paths: Names as in `unet.named_modules()`, in any order. A prefix before `down_blocks`, `mid_block` or
            `up_blocks` is ignored.

    Returns:
        One place for each path: down, then mid, then up.

    Raises:
        ModelError: A path lies in none of the three stages.

    >>> for place in execution_order(["mid_block.attentions.0", "down_blocks.0.attentions.0"]):
    ...     print(place.block, place.stage, place.path)
    1 down down_blocks.0.attentions.0
    2 mid mid_block.attentions.0
    """
    numbers: dict[tuple[str, ...], int] = {}
    places = []
    for path in sorted(paths, key=_sort_key):
        stage, parts = _split(path)
        block = numbers.setdefault(_owner(parts), len(numbers) + 1)
        places.append(LayerPlace(block, stage, path))
    return tuple(places)


def _split(path: str) -> tuple[Stage, list[str]]:
    parts = path.split(".")
    for position, part in enumerate(parts):
        if part in _STAGES:
            return _STAGES[part], parts[position:]
    raise ModelError(
        f"the attention {path!r} lies outside down_blocks, mid_block and up_blocks, "
        "so it has no place in a U-Net's execution order"
    )


def _owner(parts: list[str]) -> tuple[str, ...]:
    """The module that gives an attention its block number: its transformer block, or itself."""
    for position in range(len(parts) - 2, 0, -1):
        if parts[position].endswith("transformer_blocks"):
            return tuple(parts[: position + 2])
    return tuple(parts[:-1] if parts[-1] in _LEAF_RANK else parts)


def _sort_key(path: str) -> tuple[int, list[tuple[int, int, str]]]:
    """Numbers before names: attentions.0, motion_modules.0, attentions.1 is how a block runs them."""
    stage, parts = _split(path)
    keys = []
    position = 0
    while position < len(parts):
        name = parts[position]
        has_number = position + 1 < len(parts) and parts[position + 1].isdigit()
        number = int(parts[position + 1]) if has_number else 0
        keys.append((number, _LEAF_RANK.get(name, 1), _NAME_ORDER.get(name, name)))
        position += 2 if has_number else 1
    return _STAGE_RANK[stage], keys


_NAME_ORDER = {"transformer_blocks": "0", "temporal_transformer_blocks": "1"}

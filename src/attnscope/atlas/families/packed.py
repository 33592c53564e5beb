"""Latents that are packed, 2x2 places to a token, and whose tokens come with their positions: Flux and its kin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attnscope.atlas.families.family import Attended, Config
from attnscope.errors import CaptureError
from attnscope.records import Grid
from attnscope.records.layers import SizeHW

PACKED = 2
JOINT = ("context", "own", "reference")
"""What joint attention is over, in the order of the sequence."""


def attend_packed(config: Config, arguments: Mapping[str, Any]) -> Attended:
    """What a call attends over. Reference pictures (Kontext, Flux 2) come after the image, with other positions.

    Args:
        config: The model's configuration.
        arguments: Of its forward, by name.

    Raises:
        CaptureError: The positions of the image are no grid.
    """
    ids = arguments["img_ids"]
    ids = ids[0] if ids.ndim == 3 else ids
    counts = ids[:, 0].unique_consecutive(return_counts=True)[1].tolist()
    places = ids[: counts[0], 1:3]
    height, width = (int(side) + 1 for side in (places.max(0).values - places.min(0).values).tolist())
    grid = Grid(height, width)
    if counts[0] != grid.places:
        raise CaptureError(
            f"img_ids of this call begin with {counts[0]} places of the image, which are not a grid of "
            f"{grid}: give positions as the pipeline makes them"
        )
    text = arguments["encoder_hidden_states"].shape[1]
    parts = {"context": text, "own": grid.places, **reference_parts(counts[1:])}
    return Attended(grid, (height * PACKED, width * PACKED), parts)


def reference_parts(counts: list[int]) -> dict[str, int]:
    """Parts of reference pictures: 'reference', or 'reference/1' and so on where there are several.

    Args:
        counts: Tokens of each.
    """
    if len(counts) == 1:
        return {"reference": counts[0]}
    return {f"reference/{number}": count for number, count in enumerate(counts, start=1)}


def packed_grid(config: Config, latent: SizeHW) -> Grid:
    """The grid of a latent.

    Args:
        config: The model's configuration.
        latent: Height and width of the latent.
    """
    return Grid(latent[0] // PACKED, latent[1] // PACKED)

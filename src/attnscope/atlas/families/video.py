"""What video transformers have alike: latents of (row, channel, frame, height, width) that are cut into patches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attnscope.atlas.families.family import Attended, Config
from attnscope.records import Grid
from attnscope.records.layers import SizeHW


def attend_frames(config: Config, arguments: Mapping[str, Any]) -> Attended:
    """What a call attends over: frame after frame, and one text.

    Args:
        config: The model's configuration.
        arguments: Of its forward, by name.
    """
    frames, height, width = arguments["hidden_states"].shape[2:]
    grid = frame_grid(config, (height, width))
    frames //= _patch(config)[0]
    parts = {"own": frames * grid.places, "context": arguments["encoder_hidden_states"].shape[-2]}
    return Attended(grid, (height, width), parts, frames)


def frame_grid(config: Config, latent: SizeHW) -> Grid:
    """The grid of one frame.

    Args:
        config: The model's configuration.
        latent: Height and width of the latent.
    """
    _, high, wide = _patch(config)
    return Grid(latent[0] // high, latent[1] // wide)


def _patch(config: Config) -> tuple[int, int, int]:
    """Frames, height and width of a patch: three numbers, or one for the last two and one for the frames."""
    patch = config["patch_size"]
    if isinstance(patch, int):
        return config.get("patch_size_t") or 1, patch, patch
    frames, high, wide = patch
    return frames, high, wide

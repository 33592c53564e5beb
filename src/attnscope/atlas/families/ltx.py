"""LTX-Video: self-attention of all frames, then cross-attention to the text (T5), whose padding is masked.

`diffusers/models/transformers/transformer_ltx.py`: the latent is packed, frame after frame, and its size comes with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attnscope.atlas.families.blocks import SELF_THEN_CROSS
from attnscope.atlas.families.family import Attended, Config, RowsBy, TextPart
from attnscope.atlas.families.transformer import Blocks, Transformer
from attnscope.errors import CaptureError
from attnscope.records import Grid
from attnscope.records.layers import SizeHW


def _attend(config: Config, arguments: Mapping[str, Any]) -> Attended:
    size = [arguments.get(name) for name in ("num_frames", "height", "width")]
    if None in size or arguments.get("video_coords") is not None:
        raise CaptureError(
            "the LTX transformer was given coordinates for its tokens (video_coords), as with frames that "
            "serve as conditions, and it is unknown which tokens are places of a frame: use LTXPipeline or "
            "LTXImageToVideoPipeline"
        )
    frames, height, width = (int(side) for side in size if side is not None)
    grid = Grid(height, width)
    parts = {"own": frames * grid.places, "context": arguments["encoder_hidden_states"].shape[1]}
    return Attended(grid, (height, width), parts, frames)


def _grid(config: Config, latent: SizeHW) -> Grid:
    return Grid(*latent)


_GUIDED: RowsBy = {"prompt_embeds": "batch"}


def _frames(config: Config) -> int:
    """161 frames, eight in one, as the pipeline makes them where nothing is said."""
    return 21


LTX = Transformer(
    id="ltx",
    name="LTX transformer",
    models=("LTXVideoTransformer3DModel",),
    blocks=(
        Blocks(
            "transformer_blocks",
            "num_layers",
            SELF_THEN_CROSS,
            stage="blocks",
        ),
    ),
    attend=_attend,
    plan=_grid,
    texts=(TextPart("context", ("tokenizer",)),),
    frames=_frames,
    text_lengths={"context": 128},
    pipelines={"LTXPipeline": _GUIDED, "LTXImageToVideoPipeline": _GUIDED},
)

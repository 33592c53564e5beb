"""CogVideoX: joint attention of the text (T5) and all frames of the video.

`diffusers/models/transformers/cogvideox_transformer_3d.py`: text first, then frame after frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attnscope.atlas.families.family import Attended, Config, RowsBy, Sides, TextPart
from attnscope.atlas.families.transformer import Blocks, Transformer
from attnscope.records import Grid
from attnscope.records.layers import SizeHW

_JOINT = ("context", "own")


def _attend(config: Config, arguments: Mapping[str, Any]) -> Attended:
    """A latent is (row, frame, channel, height, width)."""
    frames, _, *latent = arguments["hidden_states"].shape[1:]
    grid = _grid(config, (latent[0], latent[1]))
    frames //= config.get("patch_size_t") or 1
    parts = {"context": arguments["encoder_hidden_states"].shape[1], "own": frames * grid.places}
    return Attended(grid, (latent[0], latent[1]), parts, frames)


def _grid(config: Config, latent: SizeHW) -> Grid:
    patch = config["patch_size"]
    return Grid(latent[0] // patch, latent[1] // patch)


_GUIDED: RowsBy = {"prompt_embeds": "batch"}

COGVIDEOX = Transformer(
    id="cogvideox",
    name="CogVideoX transformer",
    models=("CogVideoXTransformer3DModel",),
    blocks=(Blocks("transformer_blocks", "num_layers", {"attn1": Sides(_JOINT, _JOINT)}, stage="joint"),),
    attend=_attend,
    plan=_grid,
    texts=(TextPart("context", ("tokenizer",)),),
    text_lengths={"context": 226},
    pipelines={
        "CogVideoXPipeline": _GUIDED,
        "CogVideoXImageToVideoPipeline": _GUIDED,
        "CogVideoXVideoToVideoPipeline": _GUIDED,
        "CogVideoXFunControlPipeline": _GUIDED,
    },
)

"""CogVideoX: joint attention of the text (T5) and all frames of the video.

`diffusers/models/transformers/cogvideox_transformer_3d.py`: text first, then frame after frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attnscope.atlas.families.family import Attended, RowsBy, Sides, TextPart
from attnscope.atlas.families.planning import Config, Known, number
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


def _frames(config: Config) -> int:
    """Frames of the latent, which the pipeline fills up to whole patches."""
    latent = (number(config, "sample_frames") - 1) // config.get("temporal_compression_ratio", 4) + 1
    return -(-latent // (config.get("patch_size_t") or 1))


# CogVideoXTransformer3DModel's own defaults, and transformer/config.json of the models
_2B: Config = {
    "num_attention_heads": 30, "attention_head_dim": 64, "num_layers": 30, "sample_width": 90, "sample_height": 60,
    "sample_frames": 49, "patch_size": 2, "patch_size_t": None, "temporal_compression_ratio": 4,
}  # fmt: skip
_5B: Config = {**_2B, "num_attention_heads": 48, "num_layers": 42}
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
    frames=_frames,
    defaults=_2B,
    known={
        "cogvideox-2b": Known(_2B, ("THUDM/CogVideoX-2b", "zai-org/CogVideoX-2b"), "CogVideoXPipeline"),
        "cogvideox-5b": Known(_5B, ("THUDM/CogVideoX-5b", "zai-org/CogVideoX-5b"), "CogVideoXPipeline"),
    },
    pipelines={
        "CogVideoXPipeline": _GUIDED,
        "CogVideoXImageToVideoPipeline": _GUIDED,
        "CogVideoXVideoToVideoPipeline": _GUIDED,
        "CogVideoXFunControlPipeline": _GUIDED,
    },
)

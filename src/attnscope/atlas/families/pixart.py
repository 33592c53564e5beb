"""PixArt-alpha and -sigma: self-attention of the image, then cross-attention to the text (T5).

`diffusers/models/transformers/pixart_transformer_2d.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attnscope.atlas.families.family import Attended, Config, Sides, TextPart
from attnscope.atlas.families.transformer import Blocks, Transformer
from attnscope.records import Grid
from attnscope.records.layers import SizeHW


def _attend(config: Config, arguments: Mapping[str, Any]) -> Attended:
    latent = tuple(arguments["hidden_states"].shape[-2:])
    grid = _grid(config, latent)
    return Attended(
        grid, latent, {"own": grid.places, "context": arguments["encoder_hidden_states"].shape[1]}
    )


def _grid(config: Config, latent: SizeHW) -> Grid:
    patch = config["patch_size"]
    return Grid(latent[0] // patch, latent[1] // patch)


PIXART = Transformer(
    id="pixart",
    name="PixArt transformer",
    models=("PixArtTransformer2DModel",),
    blocks=(
        Blocks(
            "transformer_blocks",
            "num_layers",
            {"attn1": Sides(("own",), ("own",)), "attn2": Sides(("own",), ("context",))},
            stage="blocks",
        ),
    ),
    attend=_attend,
    plan=_grid,
    texts=(TextPart("context", ("tokenizer",)),),
    text_lengths={"context": 300},
    pipelines={
        "PixArtAlphaPipeline": {"prompt_embeds": "batch"},
        "PixArtSigmaPipeline": {"prompt_embeds": "batch"},
        "PixArtSigmaPAGPipeline": {"prompt_embeds": "batch"},
    },
)

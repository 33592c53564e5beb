"""Flux.1: joint attention of the text (T5) and the image, in double blocks and then in single ones.

`diffusers/models/transformers/transformer_flux.py`: text first. The latent is packed, 2x2 places to a token, and the
positions of its tokens come with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attnscope.atlas.families.family import Attended, Config, RowsBy, Sides, TextPart
from attnscope.atlas.families.transformer import Blocks, Transformer
from attnscope.records import Grid
from attnscope.records.layers import SizeHW

_PACKED = 2
_JOINT = ("context", "own", "reference")


def _attend(config: Config, arguments: Mapping[str, Any]) -> Attended:
    """Kontext's reference pictures and Fill's come after the image in the sequence, with other positions."""
    ids = arguments["img_ids"]
    ids = ids[0] if ids.ndim == 3 else ids
    tokens = arguments["hidden_states"].shape[1]
    own = ids[ids[:, 0] == 0]
    height, width = (int(side) + 1 for side in own[:, 1:3].max(0).values.tolist())
    grid = Grid(height, width)
    parts = {"context": arguments["encoder_hidden_states"].shape[1], "own": grid.places}
    if tokens > grid.places:
        parts["reference"] = tokens - grid.places
    return Attended(grid, (height * _PACKED, width * _PACKED), parts)


def _grid(config: Config, latent: SizeHW) -> Grid:
    return Grid(latent[0] // _PACKED, latent[1] // _PACKED)


_ONE: RowsBy = {"prompt_embeds": ("cond",)}
_TWO_CALLS: RowsBy = {**_ONE, "negative_prompt_embeds": ("uncond",)}

FLUX = Transformer(
    id="flux",
    name="Flux transformer",
    models=("FluxTransformer2DModel",),
    blocks=(
        Blocks("transformer_blocks", "num_layers", {"attn": Sides(_JOINT, _JOINT)}, stage="double"),
        Blocks(
            "single_transformer_blocks", "num_single_layers", {"attn": Sides(_JOINT, _JOINT)}, stage="single"
        ),
    ),
    attend=_attend,
    plan=_grid,
    texts=(TextPart("context", ("tokenizer_2",), ("prompt_2", "prompt")),),
    text_lengths={"context": 512},
    pipelines={
        "FluxPipeline": _TWO_CALLS,
        "FluxImg2ImgPipeline": _TWO_CALLS,
        "FluxInpaintPipeline": _TWO_CALLS,
        "FluxControlNetPipeline": _TWO_CALLS,
        "FluxKontextPipeline": _TWO_CALLS,
        "FluxKontextInpaintPipeline": _TWO_CALLS,
        "FluxControlPipeline": _ONE,
        "FluxControlImg2ImgPipeline": _ONE,
        "FluxControlInpaintPipeline": _ONE,
        "FluxControlNetImg2ImgPipeline": _ONE,
        "FluxControlNetInpaintPipeline": _ONE,
        "FluxFillPipeline": _ONE,
    },
    latent_side=128,
    positions=("img_ids",),
)

"""Flux.1: joint attention of the text (T5) and the image, in double blocks and then in single ones.

`diffusers/models/transformers/transformer_flux.py`: text first. The latent is packed, 2x2 places to a token, and the
positions of its tokens come with it.
"""

from __future__ import annotations

from attnscope.atlas.families.family import RowsBy, Sides, TextPart
from attnscope.atlas.families.packed import JOINT, attend_packed, packed_grid
from attnscope.atlas.families.transformer import Blocks, Transformer

_ONE: RowsBy = {"prompt_embeds": ("cond",)}
_TWO_CALLS: RowsBy = {**_ONE, "negative_prompt_embeds": ("uncond",)}

FLUX = Transformer(
    id="flux",
    name="Flux transformer",
    models=("FluxTransformer2DModel",),
    blocks=(
        Blocks("transformer_blocks", "num_layers", {"attn": Sides(JOINT, JOINT)}, stage="double"),
        Blocks(
            "single_transformer_blocks", "num_single_layers", {"attn": Sides(JOINT, JOINT)}, stage="single"
        ),
    ),
    attend=attend_packed,
    plan=packed_grid,
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

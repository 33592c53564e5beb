"""Chroma: Flux without CLIP, whose text (T5) has a mask for its padding.

`diffusers/models/transformers/transformer_chroma.py`: text first; the model is called once for each branch.
"""

from __future__ import annotations

from attnscope.atlas.families.family import RowsBy, Sides, TextPart
from attnscope.atlas.families.latents import PACKED_LATENTS
from attnscope.atlas.families.packed import JOINT, attend_packed, packed_grid
from attnscope.atlas.families.transformer import Blocks, Transformer

_TWO_CALLS: RowsBy = {"prompt_embeds": ("cond",), "negative_prompt_embeds": ("uncond",)}

CHROMA = Transformer(
    id="chroma",
    name="Chroma transformer",
    models=("ChromaTransformer2DModel",),
    blocks=(
        Blocks("transformer_blocks", "num_layers", {"attn": Sides(JOINT, JOINT)}, stage="double"),
        Blocks(
            "single_transformer_blocks", "num_single_layers", {"attn": Sides(JOINT, JOINT)}, stage="single"
        ),
    ),
    attend=attend_packed,
    plan=packed_grid,
    texts=(TextPart("context", ("tokenizer",)),),
    text_lengths={"context": 512},
    latents=PACKED_LATENTS,
    pipelines={
        "ChromaPipeline": _TWO_CALLS,
        "ChromaImg2ImgPipeline": _TWO_CALLS,
        "ChromaInpaintPipeline": _TWO_CALLS,
    },
    latent_side=128,
    positions=("img_ids",),
)

"""PixArt-alpha and -sigma: self-attention of the image, then cross-attention to the text (T5).

`diffusers/models/transformers/pixart_transformer_2d.py`.
"""

from __future__ import annotations

from attnscope.atlas.families.family import Sides, TextPart
from attnscope.atlas.families.transformer import Blocks, Transformer, attend_patches, patches

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
    attend=attend_patches,
    plan=patches,
    texts=(TextPart("context", ("tokenizer",)),),
    text_lengths={"context": 300},
    pipelines={
        "PixArtAlphaPipeline": {"prompt_embeds": "batch"},
        "PixArtSigmaPipeline": {"prompt_embeds": "batch"},
        "PixArtSigmaPAGPipeline": {"prompt_embeds": "batch"},
    },
)

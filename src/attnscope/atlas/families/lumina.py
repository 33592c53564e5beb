"""Lumina-Next: self-attention of the image and cross-attention to the text (Gemma), side by side in each block.

`diffusers/models/transformers/lumina_nextdit2d.py`, `attention_processor.py` (LuminaAttnProcessor2_0).
"""

from __future__ import annotations

from attnscope.atlas.families.blocks import SELF_THEN_CROSS
from attnscope.atlas.families.family import TextPart
from attnscope.atlas.families.latents import UNSHIFTED
from attnscope.atlas.families.planning import Config, Known
from attnscope.atlas.families.transformer import Blocks, Transformer, attend_patches, patches

# transformer/config.json of Lumina-Next-SFT
_NEXT: Config = {
    "sample_size": 128,
    "patch_size": 2,
    "hidden_size": 2304,
    "num_layers": 24,
    "num_attention_heads": 32,
}

LUMINA = Transformer(
    id="lumina",
    name="Lumina-Next transformer",
    models=("LuminaNextDiT2DModel",),
    blocks=(
        Blocks(
            "layers",
            "num_layers",
            SELF_THEN_CROSS,
            stage="layers",
        ),
    ),
    attend=attend_patches,
    plan=patches,
    texts=(TextPart("context", ("tokenizer",)),),
    text_lengths={"context": 256},
    known={"lumina": Known(_NEXT, ("Alpha-VLLM/Lumina-Next-SFT-diffusers",), "LuminaPipeline")},
    latents=UNSHIFTED,
    pipelines={
        "LuminaPipeline": {"prompt_embeds": "batch, cond first"},
        "LuminaText2ImgPipeline": {"prompt_embeds": "batch, cond first"},
    },
)

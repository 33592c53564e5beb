"""PixArt-alpha and -sigma: self-attention of the image, then cross-attention to the text (T5).

`diffusers/models/transformers/pixart_transformer_2d.py`.
"""

from __future__ import annotations

from attnscope.atlas.families.blocks import SELF_THEN_CROSS
from attnscope.atlas.families.family import TextPart
from attnscope.atlas.families.latents import UNSHIFTED
from attnscope.atlas.families.planning import Config, Known
from attnscope.atlas.families.transformer import Blocks, Transformer, attend_patches, patches

# PixArtTransformer2DModel's own defaults, and transformer/config.json of the models for 1024 pixels
_1024: Config = {
    "num_attention_heads": 16, "attention_head_dim": 72, "num_layers": 28, "cross_attention_dim": 1152,
    "sample_size": 128, "patch_size": 2,
}  # fmt: skip
_512: Config = {**_1024, "sample_size": 64}
_ALPHA, _SIGMA = "PixArtAlphaPipeline", "PixArtSigmaPipeline"

PIXART = Transformer(
    id="pixart",
    name="PixArt transformer",
    models=("PixArtTransformer2DModel",),
    blocks=(
        Blocks(
            "transformer_blocks",
            "num_layers",
            SELF_THEN_CROSS,
            stage="blocks",
        ),
    ),
    attend=attend_patches,
    plan=patches,
    texts=(TextPart("context", ("tokenizer",)),),
    text_lengths={"context": 300},
    text_lengths_by={_ALPHA: {"context": 120}},
    defaults=_1024,
    older_names={"Transformer2DModel": {"norm_type": "ada_norm_single"}},
    known={
        "pixart": Known(
            _1024, ("PixArt-alpha/PixArt-XL-2-1024-MS", "PixArt-alpha/PixArt-LCM-XL-2-1024-MS"), _ALPHA
        ),
        "pixart-512": Known(_512, ("PixArt-alpha/PixArt-XL-2-512x512",), _ALPHA),
        "pixart-sigma": Known(_1024, ("PixArt-alpha/PixArt-Sigma-XL-2-1024-MS",), _SIGMA),
        "pixart-sigma-512": Known(_512, ("PixArt-alpha/PixArt-Sigma-XL-2-512-MS",), _SIGMA),
    },
    latents=UNSHIFTED,
    pipelines={
        _ALPHA: {"prompt_embeds": "batch"},
        _SIGMA: {"prompt_embeds": "batch"},
        "PixArtSigmaPAGPipeline": {"prompt_embeds": "batch"},
    },
)

"""CogView3-Plus and CogView4: joint attention of the text (T5; GLM) and the image.

`diffusers/models/transformers/transformer_cogview3plus.py`, `transformer_cogview4.py`: text first. CogView4 calls its
model once for each guidance branch, and each call's text is as long as its longest prompt, in sixteens.
"""

from __future__ import annotations

from attnscope.atlas.families.family import RowsBy, Sides, TextPart
from attnscope.atlas.families.latents import UNSHIFTED
from attnscope.atlas.families.planning import Config, Known
from attnscope.atlas.families.transformer import Blocks, Transformer, attend_patches, patches

_JOINT = ("context", "own")
_BLOCKS = Blocks("transformer_blocks", "num_layers", {"attn1": Sides(_JOINT, _JOINT)}, stage="joint")
_TWO_CALLS: RowsBy = {"prompt_embeds": ("cond",), "negative_prompt_embeds": ("uncond",)}


def _most_places(config: Config) -> int:
    return config["pos_embed_max_size"]


# CogView3PlusTransformer2DModel's own defaults, and transformer/config.json of its model
_PLUS_3B: Config = {
    "patch_size": 2, "num_layers": 30, "attention_head_dim": 40, "num_attention_heads": 64, "sample_size": 128,
}  # fmt: skip
# transformer/config.json of CogView4-6B
_6B: Config = {**_PLUS_3B, "num_layers": 28, "attention_head_dim": 128, "num_attention_heads": 32}

COGVIEW3 = Transformer(
    id="cogview3",
    name="CogView3-Plus transformer",
    models=("CogView3PlusTransformer2DModel",),
    blocks=(_BLOCKS,),
    attend=attend_patches,
    plan=patches,
    texts=(TextPart("context", ("tokenizer",)),),
    text_lengths={"context": 224},
    defaults=_PLUS_3B,
    known={
        "cogview3-plus": Known(
            _PLUS_3B, ("THUDM/CogView3-Plus-3B", "zai-org/CogView3-Plus-3B"), "CogView3PlusPipeline"
        )
    },
    latents=UNSHIFTED,
    most_places=_most_places,
    pipelines={"CogView3PlusPipeline": {"prompt_embeds": "batch"}},
)

COGVIEW4 = Transformer(
    id="cogview4",
    name="CogView4 transformer",
    models=("CogView4Transformer2DModel",),
    blocks=(_BLOCKS,),
    attend=attend_patches,
    plan=patches,
    texts=(TextPart("context", ("tokenizer",)),),
    text_lengths={"context": 1024},
    defaults=_PLUS_3B,
    known={"cogview4": Known(_6B, ("zai-org/CogView4-6B", "THUDM/CogView4-6B"), "CogView4Pipeline")},
    latents=UNSHIFTED,
    pipelines={"CogView4Pipeline": _TWO_CALLS, "CogView4ControlPipeline": _TWO_CALLS},
)

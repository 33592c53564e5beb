"""CogView3-Plus and CogView4: joint attention of the text (T5; GLM) and the image.

`diffusers/models/transformers/transformer_cogview3plus.py`, `transformer_cogview4.py`: text first. CogView4 calls its
model once for each guidance branch, and each call's text is as long as its longest prompt, in sixteens.
"""

from __future__ import annotations

from attnscope.atlas.families.family import RowsBy, Sides, TextPart
from attnscope.atlas.families.transformer import Blocks, Transformer, attend_patches, patches

_JOINT = ("context", "own")
_BLOCKS = Blocks("transformer_blocks", "num_layers", {"attn1": Sides(_JOINT, _JOINT)}, stage="joint")
_TWO_CALLS: RowsBy = {"prompt_embeds": ("cond",), "negative_prompt_embeds": ("uncond",)}

COGVIEW3 = Transformer(
    id="cogview3",
    name="CogView3-Plus transformer",
    models=("CogView3PlusTransformer2DModel",),
    blocks=(_BLOCKS,),
    attend=attend_patches,
    plan=patches,
    texts=(TextPart("context", ("tokenizer",)),),
    text_lengths={"context": 224},
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
    pipelines={"CogView4Pipeline": _TWO_CALLS, "CogView4ControlPipeline": _TWO_CALLS},
)

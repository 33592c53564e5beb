"""Sana: cross-attention to the text (Gemma 2). Its attention of the image to itself is linear, without a softmax.

`diffusers/models/transformers/sana_transformer.py`, `attention_processor.py` (SanaLinearAttnProcessor2_0).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attnscope.atlas.families.family import RowsBy, Sides, TextPart, Written
from attnscope.atlas.families.latents import UNSHIFTED
from attnscope.atlas.families.planning import Config, Known
from attnscope.atlas.families.transformer import Blocks, Transformer, attend_patches, patches


def _write(pipeline: Any, variables: Mapping[str, Any], text: str, is_prompt: bool) -> Written:
    """An instruction stands before the prompt; of its tokens the model gets the first one and the last one."""
    instruction = "\n".join(variables.get("complex_human_instruction") or ()) if is_prompt else ""
    if not instruction:
        return Written(text)
    last = len(pipeline.tokenizer.encode(instruction)) - 1
    return Written(instruction + text, len(instruction), range(1, last))


_GUIDED: RowsBy = {"prompt_embeds": "batch"}
_ONE: RowsBy = {"prompt_embeds": ("cond",)}

# SanaTransformer2DModel's own defaults, and transformer/config.json of the models of 1.6 billion parameters
_1600M: Config = {
    "num_layers": 20, "num_cross_attention_heads": 20, "cross_attention_head_dim": 112, "sample_size": 32,
    "patch_size": 1,
}  # fmt: skip
_HUB = "Efficient-Large-Model/Sana_1600M_"

SANA = Transformer(
    id="sana",
    name="Sana transformer",
    models=("SanaTransformer2DModel",),
    blocks=(
        Blocks("transformer_blocks", "num_layers", {"attn2": Sides(("own",), ("context",))}, stage="blocks"),
    ),
    attend=attend_patches,
    plan=patches,
    texts=(TextPart("context", ("tokenizer",), write=_write),),
    text_lengths={"context": 300},
    defaults=_1600M,
    known={
        "sana": Known(_1600M, (f"{_HUB}1024px_diffusers", f"{_HUB}1024px_BF16_diffusers"), "SanaPipeline"),
    },
    pixels_per_latent=32,
    latents=UNSHIFTED,
    pipelines={
        "SanaPipeline": _GUIDED,
        "SanaControlNetPipeline": _GUIDED,
        "SanaPAGPipeline": _GUIDED,
        "SanaSprintPipeline": _ONE,
        "SanaSprintImg2ImgPipeline": _ONE,
    },
    left_out={
        "attn1": "linear attention of the image to itself, which has no softmax and so no probabilities"
    },
)

"""AuraFlow: joint attention of registers, the text (UMT5) and the image, in double blocks and then in single ones.

`diffusers/models/transformers/auraflow_transformer_2d.py`: eight registers are put before the text.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from typing import Any

from attnscope.atlas.families.family import Attended, Sides, TextPart
from attnscope.atlas.families.latents import UNSHIFTED
from attnscope.atlas.families.planning import Config, Known
from attnscope.atlas.families.transformer import Blocks, Transformer, attend_patches, patches

_REGISTERS = 8
_JOINT = ("registers", "context", "own")


def _attend(config: Config, arguments: Mapping[str, Any]) -> Attended:
    attended = attend_patches(config, arguments)
    return attended._replace(parts={"registers": _REGISTERS, **attended.parts})


def _most_places(config: Config) -> int:
    """Of a square of positions, the side."""
    return isqrt(config["pos_embed_max_size"])


# AuraFlowTransformer2DModel's own defaults, and transformer/config.json of the models
_CONFIG: Config = {
    "sample_size": 64, "patch_size": 2, "num_mmdit_layers": 4, "num_single_dit_layers": 32, "attention_head_dim": 256,
    "num_attention_heads": 12,
}  # fmt: skip

AURAFLOW = Transformer(
    id="auraflow",
    name="AuraFlow transformer",
    models=("AuraFlowTransformer2DModel",),
    blocks=(
        Blocks(
            "joint_transformer_blocks", "num_mmdit_layers", {"attn": Sides(_JOINT, _JOINT)}, stage="double"
        ),
        Blocks(
            "single_transformer_blocks",
            "num_single_dit_layers",
            {"attn": Sides(_JOINT, _JOINT)},
            stage="single",
        ),
    ),
    attend=_attend,
    plan=patches,
    texts=(TextPart("context", ("tokenizer",)),),
    text_lengths={"registers": _REGISTERS, "context": 256},
    defaults=_CONFIG,
    known={
        "auraflow": Known(
            _CONFIG, ("fal/AuraFlow-v0.3", "fal/AuraFlow-v0.2", "fal/AuraFlow"), "AuraFlowPipeline"
        )
    },
    latent_side=128,
    latents=UNSHIFTED,
    most_places=_most_places,
    pipelines={"AuraFlowPipeline": {"prompt_embeds": "batch"}},
)

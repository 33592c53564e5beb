"""AuraFlow: joint attention of registers, the text (UMT5) and the image, in double blocks and then in single ones.

`diffusers/models/transformers/auraflow_transformer_2d.py`: eight registers are put before the text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attnscope.atlas.families.family import Attended, Config, Sides, TextPart
from attnscope.atlas.families.transformer import Blocks, Transformer, attend_patches, patches

_REGISTERS = 8
_JOINT = ("registers", "context", "own")


def _attend(config: Config, arguments: Mapping[str, Any]) -> Attended:
    attended = attend_patches(config, arguments)
    return attended._replace(parts={"registers": _REGISTERS, **attended.parts})


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
    pipelines={"AuraFlowPipeline": {"prompt_embeds": "batch"}},
)

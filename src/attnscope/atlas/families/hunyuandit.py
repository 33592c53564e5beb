"""HunyuanDiT: self-attention of the image, then cross-attention to the tokens of two texts, CLIP's and T5's.

`diffusers/models/transformers/hunyuan_transformer_2d.py`. Later blocks also get what earlier ones made; they run in the
order of the list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attnscope.atlas.families.blocks import SELF_THEN_CROSS
from attnscope.atlas.families.family import Attended, RowsBy, TextPart
from attnscope.atlas.families.latents import UNSHIFTED
from attnscope.atlas.families.planning import Config, Known
from attnscope.atlas.families.transformer import Blocks, Transformer, patches


def _attend(config: Config, arguments: Mapping[str, Any]) -> Attended:
    latent = tuple(arguments["hidden_states"].shape[-2:])
    grid = patches(config, latent)
    clip, t5 = (arguments[name].shape[1] for name in ("encoder_hidden_states", "encoder_hidden_states_t5"))
    return Attended(grid, latent, {"own": grid.places, "context/clip": clip, "context/t5": t5})


_GUIDED: RowsBy = {"prompt_embeds": "batch"}

# transformer/config.json of version 1.2
_CONFIG: Config = {
    "num_attention_heads": 16, "attention_head_dim": 88, "num_layers": 40, "patch_size": 2, "sample_size": 128,
}  # fmt: skip

HUNYUANDIT = Transformer(
    id="hunyuandit",
    name="HunyuanDiT transformer",
    models=("HunyuanDiT2DModel",),
    blocks=(
        Blocks(
            "blocks",
            "num_layers",
            SELF_THEN_CROSS,
            stage="blocks",
        ),
    ),
    attend=_attend,
    plan=patches,
    texts=(
        TextPart("context/clip", ("tokenizer",), keys=77),
        TextPart("context/t5", ("tokenizer_2",)),
    ),
    text_lengths={"context/clip": 77, "context/t5": 256},
    known={
        "hunyuandit": Known(_CONFIG, ("Tencent-Hunyuan/HunyuanDiT-v1.2-Diffusers",), "HunyuanDiTPipeline")
    },
    latents=UNSHIFTED,
    pipelines={
        "HunyuanDiTPipeline": _GUIDED,
        "HunyuanDiTControlNetPipeline": _GUIDED,
        "HunyuanDiTPAGPipeline": _GUIDED,
    },
)

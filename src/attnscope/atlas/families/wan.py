"""Wan: self-attention of all frames, then cross-attention to the text (UMT5).

`diffusers/models/transformers/transformer_wan.py`. Where a picture is given, its tokens have a softmax of
their own in the cross-attention. Wan 2.2 has a second model for its late steps. SkyReels V2 is built alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from attnscope.atlas.families.family import Attended, Config, RowsBy, Sides, TextPart
from attnscope.atlas.families.transformer import Blocks, Transformer
from attnscope.atlas.families.video import attend_frames, frame_grid
from attnscope.errors import CaptureError

_TEXT = 512
"""With a picture, whatever is before the last 512 tokens is the picture's: WanAttnProcessor has the number in it."""


def _attend(config: Config, arguments: Mapping[str, Any]) -> Attended:
    attended = attend_frames(config, arguments)
    text = attended.parts["context"]
    if config.get("added_kv_proj_dim") is not None and text != _TEXT:
        raise CaptureError(
            f"this model takes its last {_TEXT} tokens to be the text and those before them the picture, but "
            f"the text has {text}, so one softmax would mix both: use max_sequence_length={_TEXT}"
        )
    return attended


_TWO_CALLS: RowsBy = {"prompt_embeds": ("cond",), "negative_prompt_embeds": ("uncond",)}


def _frames(config: Config) -> int:
    """81 frames, four in one, as the pipeline makes them where nothing is said."""
    return 21


WAN = Transformer(
    id="wan",
    name="Wan transformer",
    models=("WanTransformer3DModel",),
    blocks=(
        Blocks(
            "blocks",
            "num_layers",
            {
                "attn1": Sides(("own",), ("own",)),
                "attn2": Sides(("own",), ("context",), picture_keys=("add_k_proj", "to_added_kv")),
            },
            stage="blocks",
        ),
    ),
    attend=_attend,
    plan=frame_grid,
    texts=(TextPart("context", ("tokenizer",)),),
    frames=_frames,
    text_lengths={"context": 512},
    pipelines={
        "WanPipeline": _TWO_CALLS,
        "WanImageToVideoPipeline": _TWO_CALLS,
        "WanVideoToVideoPipeline": _TWO_CALLS,
        "LucyEditPipeline": _TWO_CALLS,
    },
    later_component="transformer_2",
)
SKYREELS2 = replace(
    WAN,
    id="skyreels2",
    name="SkyReels V2 transformer",
    models=("SkyReelsV2Transformer3DModel",),
    pipelines={
        "SkyReelsV2Pipeline": _TWO_CALLS,
        "SkyReelsV2ImageToVideoPipeline": _TWO_CALLS,
        "SkyReelsV2DiffusionForcingPipeline": _TWO_CALLS,
        "SkyReelsV2DiffusionForcingImageToVideoPipeline": _TWO_CALLS,
        "SkyReelsV2DiffusionForcingVideoToVideoPipeline": _TWO_CALLS,
    },
)

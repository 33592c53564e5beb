"""HunyuanVideo: joint attention of all frames and the text (Llama), in double blocks and then in single ones.

`diffusers/models/transformers/transformer_hunyuan_video.py`: video first, and the text's padding is masked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attnscope.atlas.families.family import Config, RowsBy, Sides, TextPart, Written
from attnscope.atlas.families.transformer import Blocks, Transformer
from attnscope.atlas.families.video import attend_frames, frame_grid

_JOINT = ("own", "context")


def _write(pipeline: Any, variables: Mapping[str, Any], text: str, is_prompt: bool) -> Written:
    """The prompt stands in a chat's template; the encodings of what is before it are cut off."""
    template: Mapping[str, Any] = variables["prompt_template"]
    whole, cut = template["template"], template.get("crop_start")
    if cut is None:  # as _get_llama_prompt_embeds has it
        cut = len(pipeline.tokenizer(whole, padding="max_length")["input_ids"]) - 2
    return Written(whole.format(text), whole.index("{}"), range(cut))


_TWO_CALLS: RowsBy = {"prompt_embeds": ("cond",), "negative_prompt_embeds": ("uncond",)}


def _frames(config: Config) -> int:
    """129 frames, four in one, as the pipeline makes them where nothing is said."""
    return 33


HUNYUANVIDEO = Transformer(
    id="hunyuanvideo",
    name="HunyuanVideo transformer",
    models=("HunyuanVideoTransformer3DModel",),
    blocks=(
        Blocks("transformer_blocks", "num_layers", {"attn": Sides(_JOINT, _JOINT)}, stage="double"),
        Blocks(
            "single_transformer_blocks", "num_single_layers", {"attn": Sides(_JOINT, _JOINT)}, stage="single"
        ),
    ),
    attend=attend_frames,
    plan=frame_grid,
    texts=(TextPart("context", ("tokenizer",), write=_write),),
    frames=_frames,
    text_lengths={"context": 256},
    pipelines={
        "HunyuanVideoPipeline": _TWO_CALLS,
        "HunyuanVideoImageToVideoPipeline": _TWO_CALLS,
        "HunyuanSkyreelsImageToVideoPipeline": _TWO_CALLS,
    },
    left_out={"context_embedder": "attention of the text to itself, before the video"},
)

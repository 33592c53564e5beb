"""Cosmos: self-attention of all frames, then cross-attention to the text (T5; Qwen 2.5-VL for 2.5).

`diffusers/models/transformers/transformer_cosmos.py`. Models that look at pictures in the same module (Transfer
2.5) add a softmax with queries of its own, and are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attnscope.atlas.families.blocks import SELF_THEN_CROSS
from attnscope.atlas.families.chat import written_in
from attnscope.atlas.families.family import Attended, Config, RowsBy, TextPart, Written
from attnscope.atlas.families.transformer import Blocks, Transformer
from attnscope.atlas.families.video import attend_frames, frame_grid
from attnscope.errors import CaptureError

_TOLD = "You are a helpful assistant who will provide prompts to an image generator."
"""What the pipelines of 2.5 tell their text encoder before the prompt."""


def _attend(config: Config, arguments: Mapping[str, Any]) -> Attended:
    if isinstance(arguments["encoder_hidden_states"], tuple):
        raise CaptureError(
            "in this Cosmos transformer one module attends to the text and to pictures, with queries for "
            "each, which can't be recorded: use a Cosmos model that is conditioned on text alone"
        )
    return attend_frames(config, arguments)


def _write(pipeline: Any, variables: Mapping[str, Any], text: str, is_prompt: bool) -> Written:
    """As it is for T5; that of 2.5 (Qwen 2.5-VL) stands in a chat's template."""
    if getattr(pipeline.tokenizer, "chat_template", None) is None:
        return Written(text)

    def write(content: str) -> str:
        said = {"system": _TOLD, "user": content}
        messages = [
            {"role": role, "content": [{"type": "text", "text": told}]} for role, told in said.items()
        ]
        return pipeline.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=False)

    return written_in(text, write)._replace(is_complete=True)


_TWO_CALLS: RowsBy = {"prompt_embeds": ("cond",), "negative_prompt_embeds": ("uncond",)}


def _frames(config: Config) -> int:
    """121 frames, eight in one, as the pipeline makes them where nothing is said."""
    return 16


COSMOS = Transformer(
    id="cosmos",
    name="Cosmos transformer",
    models=("CosmosTransformer3DModel",),
    blocks=(
        Blocks(
            "transformer_blocks",
            "num_layers",
            SELF_THEN_CROSS,
            stage="blocks",
        ),
    ),
    attend=_attend,
    plan=frame_grid,
    texts=(TextPart("context", ("tokenizer",), write=_write),),
    frames=_frames,
    text_lengths={"context": 512},
    pipelines={
        "CosmosTextToWorldPipeline": _TWO_CALLS,
        "CosmosVideoToWorldPipeline": _TWO_CALLS,
        "Cosmos2TextToImagePipeline": _TWO_CALLS,
        "Cosmos2VideoToWorldPipeline": _TWO_CALLS,
        "Cosmos2_5_PredictBasePipeline": _TWO_CALLS,
    },
)

"""Mochi: joint attention of all frames and the text (T5) without its padding.

`diffusers/models/transformers/transformer_mochi.py`: video first. Each row of a batch has a softmax of its own, since
its text has a length of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attnscope.atlas.families.family import Attended, Config, Sides, TextPart
from attnscope.atlas.families.transformer import Blocks, Transformer
from attnscope.atlas.families.video import attend_frames, frame_grid
from attnscope.errors import CaptureError

_JOINT = ("own", "context")


def _attend(config: Config, arguments: Mapping[str, Any]) -> Attended:
    attended = attend_frames(config, arguments)
    mask = arguments["encoder_attention_mask"].bool()
    lengths = [int(length) for length in mask.sum(1).tolist()]
    if any(row[length:].any() for row, length in zip(mask, lengths, strict=True)):
        raise CaptureError(
            "the mask of Mochi's text (encoder_attention_mask) hides tokens in front of visible ones, so the "
            "model sees tokens at other positions than the text has them: give masks that hide only the end "
            "of a text"
        )
    return attended._replace(rows=tuple({"context": length} for length in lengths))


def _frames(config: Config) -> int:
    """19 frames, six in one, as the pipeline makes them where nothing is said."""
    return 4


MOCHI = Transformer(
    id="mochi",
    name="Mochi transformer",
    models=("MochiTransformer3DModel",),
    blocks=(Blocks("transformer_blocks", "num_layers", {"attn1": Sides(_JOINT, _JOINT)}, stage="joint"),),
    attend=_attend,
    plan=frame_grid,
    texts=(TextPart("context", ("tokenizer",)),),
    frames=_frames,
    text_lengths={"context": 256},
    pipelines={"MochiPipeline": {"prompt_embeds": "batch"}},
    positions=("encoder_attention_mask",),
)

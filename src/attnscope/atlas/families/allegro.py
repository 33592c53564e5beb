"""Allegro: self-attention of all frames, then cross-attention to the text (T5), whose padding is masked.

`diffusers/models/transformers/transformer_allegro.py`.
"""

from __future__ import annotations

from attnscope.atlas.families.blocks import SELF_THEN_CROSS
from attnscope.atlas.families.family import Config, TextPart
from attnscope.atlas.families.transformer import Blocks, Transformer
from attnscope.atlas.families.video import attend_frames, frame_grid


def _frames(config: Config) -> int:
    """88 frames, four in one, as the pipeline makes them where nothing is said."""
    return 22


ALLEGRO = Transformer(
    id="allegro",
    name="Allegro transformer",
    models=("AllegroTransformer3DModel",),
    blocks=(
        Blocks(
            "transformer_blocks",
            "num_layers",
            SELF_THEN_CROSS,
            stage="blocks",
        ),
    ),
    attend=attend_frames,
    plan=frame_grid,
    texts=(TextPart("context", ("tokenizer",)),),
    frames=_frames,
    text_lengths={"context": 512},
    pipelines={"AllegroPipeline": {"prompt_embeds": "batch"}},
)

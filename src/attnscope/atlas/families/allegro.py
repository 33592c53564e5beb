"""Allegro: self-attention of all frames, then cross-attention to the text (T5), whose padding is masked.

`diffusers/models/transformers/transformer_allegro.py`.
"""

from __future__ import annotations

from attnscope.atlas.families.family import Sides, TextPart
from attnscope.atlas.families.transformer import Blocks, Transformer
from attnscope.atlas.families.video import attend_frames, frame_grid

ALLEGRO = Transformer(
    id="allegro",
    name="Allegro transformer",
    models=("AllegroTransformer3DModel",),
    blocks=(
        Blocks(
            "transformer_blocks",
            "num_layers",
            {"attn1": Sides(("own",), ("own",)), "attn2": Sides(("own",), ("context",))},
            stage="blocks",
        ),
    ),
    attend=attend_frames,
    plan=frame_grid,
    texts=(TextPart("context", ("tokenizer",)),),
    text_lengths={"context": 512},
    pipelines={"AllegroPipeline": {"prompt_embeds": "batch"}},
)

"""PRX: the image attends to the text (T5Gemma) and to itself in one softmax; the text does not attend.

`diffusers/models/transformers/transformer_prx.py`: keys of the text first. The pipeline cleans prompts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attnscope.atlas.families.family import Sides, TextPart, Written
from attnscope.atlas.families.transformer import Blocks, Transformer, attend_patches, patches


def _write(pipeline: Any, variables: Mapping[str, Any], text: str, is_prompt: bool) -> Written:
    """As the pipeline cleans it; the one for pixels always does so lightly."""
    reader = pipeline.text_preprocessor
    cleaned = (reader.basic_clean if variables.get("skip_text_cleaning", True) else reader.clean_text)(text)
    return Written(cleaned, prompt=cleaned)


PRX = Transformer(
    id="prx",
    name="PRX transformer",
    models=("PRXTransformer2DModel",),
    blocks=(
        Blocks("blocks", "depth", {"attention": Sides(("own",), ("context", "own"), "joint")}, stage="joint"),
    ),
    attend=attend_patches,
    plan=patches,
    texts=(TextPart("context", ("tokenizer",), write=_write),),
    text_lengths={"context": 256},
    pipelines={"PRXPipeline": {"ca_embed": "batch"}, "PRXPixelPipeline": {"ca_embed": "batch"}},
    latent_side=64,
)

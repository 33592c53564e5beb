"""Lumina-Image 2.0: attention of the image to itself, then joint attention of the text (Gemma 2) and the image.

`diffusers/models/transformers/transformer_lumina2.py`: text first, without its padding, so that each row of a batch has
a text of its own length, and the image begins right after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attnscope.atlas.families.family import Attended, RowsBy, Sides, TextPart, Written
from attnscope.atlas.families.planning import Config, Known
from attnscope.atlas.families.transformer import Blocks, Transformer, attend_patches, patches

_JOINT = ("context", "own")
_MASKS = ("prompt_attention_mask", "negative_prompt_attention_mask")


def _attend(config: Config, arguments: Mapping[str, Any]) -> Attended:
    attended = attend_patches(config, arguments)
    lengths = _lengths(arguments["encoder_attention_mask"])
    longest = max(lengths)
    is_even = min(lengths) == longest
    return attended._replace(
        parts={**attended.parts, "context": longest},
        rows=() if is_even else tuple({"context": length} for length in lengths),
        encoded={"context": attended.parts["context"]},
    )


def _lengths(mask: Any) -> list[int]:
    return [int(length) for length in mask.sum(1).tolist()]


def _longest(variables: Mapping[str, Any]) -> int:
    masks = [variables[name] for name in _MASKS if variables.get(name) is not None]
    return max(length for mask in masks for length in _lengths(mask))


def _most_places(config: Config) -> int:
    return min(config["axes_lens"][1:])


def _write(pipeline: Any, variables: Mapping[str, Any], text: str, is_prompt: bool) -> Written:
    """An instruction stands before the prompt, and not before the negative one."""
    if not is_prompt:
        return Written(text)
    instruction = variables.get("system_prompt")
    before = f"{pipeline.system_prompt if instruction is None else instruction} <Prompt Start> "
    return Written(before + text, len(before))


_TWO_CALLS: RowsBy = {"prompt_embeds": ("cond",), "negative_prompt_embeds": ("uncond",)}

# Lumina2Transformer2DModel's own defaults, and transformer/config.json of its model
_CONFIG: Config = {
    "sample_size": 128, "patch_size": 2, "hidden_size": 2304, "num_layers": 26, "num_refiner_layers": 2,
    "num_attention_heads": 24,
}  # fmt: skip

LUMINA2 = Transformer(
    id="lumina2",
    name="Lumina 2 transformer",
    models=("Lumina2Transformer2DModel",),
    blocks=(
        Blocks("noise_refiner", "num_refiner_layers", {"attn": Sides(("own",), ("own",))}, stage="refiner"),
        Blocks("layers", "num_layers", {"attn": Sides(_JOINT, _JOINT)}, stage="joint"),
    ),
    attend=_attend,
    plan=patches,
    texts=(TextPart("context", ("tokenizer",), write=_write),),
    text_lengths={"context": 256},
    defaults=_CONFIG,
    known={"lumina2": Known(_CONFIG, ("Alpha-VLLM/Lumina-Image-2.0",), "Lumina2Pipeline")},
    most_places=_most_places,
    pipelines={"Lumina2Pipeline": _TWO_CALLS, "Lumina2Text2ImgPipeline": _TWO_CALLS},
    left_out={"context_refiner": "attention of the text to itself, before the image"},
    positions=("encoder_attention_mask",),
    longest=_longest,
)

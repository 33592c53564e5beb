"""Qwen-Image and its Edit: joint attention of the text (Qwen 2.5-VL), the image and reference pictures.

`diffusers/models/transformers/transformer_qwenimage.py`: text first, as long as it is; the sizes of all pictures come
with the call. The prompt stands in a template, the first tokens of which are cut off again.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from attnscope.atlas.families.family import Attended, Config, RowsBy, Sides, TextPart, Written
from attnscope.atlas.families.latents import Latents, packed, standardised
from attnscope.atlas.families.packed import JOINT, PACKED, packed_grid, reference_parts
from attnscope.atlas.families.transformer import Blocks, Transformer
from attnscope.errors import CaptureError
from attnscope.records import Grid

_PICTURE = "<|image_pad|>"
_NAMED_PICTURE = "Picture {}: <|vision_start|>{}<|vision_end|>"
"""As an Edit Plus writes each of its pictures before the prompt."""


def _attend(config: Config, arguments: Mapping[str, Any]) -> Attended:
    if config.get("use_layer3d_rope"):
        raise CaptureError(
            "this model makes several pictures, the layers of one, in one sequence, which attnscope does not "
            "support: capture a QwenImagePipeline"
        )
    shapes = arguments["img_shapes"][0]
    shapes = shapes if isinstance(shapes, list) else [shapes]
    (_, height, width), *others = shapes
    grid = Grid(height, width)
    text = arguments["encoder_hidden_states"].shape[1]
    parts = {"context": text, "own": grid.places, **reference_parts([prod(shape) for shape in others])}
    return Attended(grid, (height * PACKED, width * PACKED), parts)


def _write(pipeline: Any, variables: Mapping[str, Any], text: str, is_prompt: bool) -> Written:
    """Of an Edit, the pictures' tokens stand before the prompt: as many as make up the length of what was encoded."""
    template, dropped = pipeline.prompt_template_encode, range(pipeline.prompt_template_encode_start_idx)
    before, _, after = template.partition("{}")
    for number, picture in enumerate(variables.get("condition_images") or (), start=1):
        before += _NAMED_PICTURE.format(number, _PICTURE * _tokens_of(pipeline, picture))
    if _PICTURE in template:
        name = "prompt" if is_prompt else "negative_prompt"
        texts = [text] if isinstance(variables.get(name), str | None) else variables[name]
        longest = max(len(pipeline.tokenizer(before + each + after)["input_ids"]) for each in texts)
        more = variables[f"{name}_embeds"].shape[1] + len(dropped) - longest
        before = before.replace(_PICTURE, _PICTURE * (1 + max(more, 0)))
    return Written(before + text + after, len(before), dropped)


def _tokens_of(pipeline: Any, picture: Any) -> int:
    """How many tokens the text's encoder has of a picture: some patches to each."""
    reader = pipeline.processor.image_processor
    return reader.get_number_of_image_patches(picture.height, picture.width, {}) // reader.merge_size**2


_TWO_CALLS: RowsBy = {"prompt_embeds": ("cond",), "negative_prompt_embeds": ("uncond",)}

QWENIMAGE = Transformer(
    id="qwenimage",
    name="Qwen-Image transformer",
    models=("QwenImageTransformer2DModel",),
    blocks=(Blocks("transformer_blocks", "num_layers", {"attn": Sides(JOINT, JOINT)}, stage="joint"),),
    attend=_attend,
    plan=packed_grid,
    texts=(TextPart("context", ("tokenizer",), write=_write),),
    text_lengths={"context": 512},
    latents=Latents(standardised, packed),
    pipelines={
        "QwenImagePipeline": _TWO_CALLS,
        "QwenImageImg2ImgPipeline": _TWO_CALLS,
        "QwenImageInpaintPipeline": _TWO_CALLS,
        "QwenImageControlNetPipeline": _TWO_CALLS,
        "QwenImageControlNetInpaintPipeline": _TWO_CALLS,
        "QwenImageEditPipeline": _TWO_CALLS,
        "QwenImageEditInpaintPipeline": _TWO_CALLS,
        "QwenImageEditPlusPipeline": _TWO_CALLS,
    },
    latent_side=128,
)

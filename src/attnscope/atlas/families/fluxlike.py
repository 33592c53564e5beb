"""Models built as Flux is, with other encoders: Bria 3 (T5), Ovis-Image (Ovis 2.5) and LongCat-Image (Qwen 2.5-VL).

`diffusers/models/transformers/transformer_bria.py`, `transformer_ovis_image.py`, `transformer_longcat_image.py`: text
first, in double blocks and then in single ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attnscope.atlas.families.chat import written_in
from attnscope.atlas.families.family import Attended, Config, RowsBy, Sides, TextPart, Written
from attnscope.atlas.families.latents import PACKED_LATENTS
from attnscope.atlas.families.packed import JOINT, attend_packed, packed_grid
from attnscope.atlas.families.transformer import Blocks, Transformer
from attnscope.records import Grid
from attnscope.records.layers import SizeHW

_BLOCKS = (
    Blocks("transformer_blocks", "num_layers", {"attn": Sides(JOINT, JOINT)}, stage="double"),
    Blocks("single_transformer_blocks", "num_single_layers", {"attn": Sides(JOINT, JOINT)}, stage="single"),
)
_PICTURE_BEGINS, _PICTURE = "<|vision_start|>", "<|image_pad|>"
_TWO_CALLS: RowsBy = {"prompt_embeds": ("cond",), "negative_prompt_embeds": ("uncond",)}


def _attend_bria(config: Config, arguments: Mapping[str, Any]) -> Attended:
    """Its pipeline counts a token as a place of the latent."""
    attended = attend_packed(config, arguments)
    return attended._replace(latent_hw=(attended.grid.height, attended.grid.width))


def _grid_bria(config: Config, latent: SizeHW) -> Grid:
    return Grid(*latent)


def _write_ovis(pipeline: Any, variables: Mapping[str, Any], text: str, is_prompt: bool) -> Written:
    """After an instruction, in a template, the first tokens of which are cut off again."""
    whole = written_in(
        text,
        lambda content: pipeline.tokenizer.apply_chat_template(
            [{"role": "user", "content": pipeline.system_prompt + content}],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=False,
        ),
    )
    return whole._replace(dropped=range(pipeline.user_prompt_begin_id), is_complete=True)


def _write_longcat(pipeline: Any, variables: Mapping[str, Any], text: str, is_prompt: bool) -> Written:
    """An edit's stands behind the tokens of its picture, and before them an instruction is cut off again."""
    told, start, picture = pipeline.prompt_template_encode_prefix.partition(_PICTURE_BEGINS)
    if not start:
        return Written(text)
    held = variables["prompt_embeds" if is_prompt else "negative_prompt_embeds"]
    seen = held.shape[1] - pipeline.tokenizer_max_length - 2  # without the signs around the picture
    before = told + start + picture.replace(_PICTURE, _PICTURE * seen)
    return Written(before + text, len(before), range(len(pipeline.tokenizer(told)["input_ids"])))


BRIA = Transformer(
    id="bria",
    name="Bria transformer",
    models=("BriaTransformer2DModel",),
    blocks=_BLOCKS,
    attend=_attend_bria,
    plan=_grid_bria,
    texts=(TextPart("context", ("tokenizer",)),),
    text_lengths={"context": 128},
    latents=PACKED_LATENTS,
    pipelines={"BriaPipeline": {"prompt_embeds": "batch"}},
    latent_side=64,
    positions=("img_ids",),
)

OVIS = Transformer(
    id="ovis",
    name="Ovis-Image transformer",
    models=("OvisImageTransformer2DModel",),
    blocks=_BLOCKS,
    attend=attend_packed,
    plan=packed_grid,
    texts=(TextPart("context", ("tokenizer",), write=_write_ovis),),
    text_lengths={"context": 256},
    latents=PACKED_LATENTS,
    pipelines={"OvisImagePipeline": _TWO_CALLS},
    latent_side=128,
    positions=("img_ids",),
)

LONGCAT = Transformer(
    id="longcat",
    name="LongCat-Image transformer",
    models=("LongCatImageTransformer2DModel",),
    blocks=_BLOCKS,
    attend=attend_packed,
    plan=packed_grid,
    texts=(  # what is quoted is read letter by letter, and has no names
        TextPart("context", ("tokenizer",), write=_write_longcat),
    ),
    text_lengths={"context": 512},
    latents=PACKED_LATENTS,
    pipelines={"LongCatImagePipeline": _TWO_CALLS, "LongCatImageEditPipeline": _TWO_CALLS},
    latent_side=128,
    positions=("img_ids",),
)

"""Flux.1: joint attention of the text (T5) and the image, in double blocks and then in single ones.

`diffusers/models/transformers/transformer_flux.py`: text first. The latent is packed, 2x2 places to a token, and the
positions of its tokens come with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attnscope.atlas.families.family import Attended, RowsBy, Sides, TextPart
from attnscope.atlas.families.latents import PACKED_LATENTS
from attnscope.atlas.families.packed import JOINT, attend_packed, packed_grid
from attnscope.atlas.families.planning import Config, Known
from attnscope.atlas.families.transformer import Blocks, Transformer
from attnscope.errors import CaptureError
from attnscope.records import Grid

_MEGAPIXEL = 64 * 64


def _attend(config: Config, arguments: Mapping[str, Any]) -> Attended:
    ids = arguments["img_ids"]
    if ids.reshape(-1, ids.shape[-1])[0, 0] != 0:
        raise CaptureError(
            "img_ids of this call begin with picture 1, where those of Flux begin with picture 0: it is a "
            "grid of several pictures (VisualCloze), and it is unknown which of them is made. Capture a "
            "FluxPipeline or a FluxKontextPipeline"
        )
    return attend_packed(config, arguments)


def _besides(config: Config, pipeline: str, grid: Grid) -> Mapping[str, int]:
    """Kontext resizes its picture to about a megapixel; the shapes that it takes have 4042 to 4150 tokens."""
    return {"reference": _MEGAPIXEL} if pipeline.startswith("FluxKontext") else {}


# FluxTransformer2DModel's own defaults, and transformer/config.json of FLUX.1-dev
_DEV: Config = {
    "patch_size": 1, "in_channels": 64, "num_layers": 19, "num_single_layers": 38, "attention_head_dim": 128,
    "num_attention_heads": 24, "joint_attention_dim": 4096, "pooled_projection_dim": 768,
}  # fmt: skip
_HUB = "black-forest-labs/FLUX.1-"
_OTHERS = {  # the same blocks over other channels
    f"{_HUB}Fill-dev": "FluxFillPipeline",
    f"{_HUB}Kontext-dev": "FluxKontextPipeline",
    f"{_HUB}Canny-dev": "FluxControlPipeline",
    f"{_HUB}Depth-dev": "FluxControlPipeline",
    f"{_HUB}Krea-dev": "FluxPipeline",
}
_ONE: RowsBy = {"prompt_embeds": ("cond",)}
_TWO_CALLS: RowsBy = {**_ONE, "negative_prompt_embeds": ("uncond",)}

FLUX = Transformer(
    id="flux",
    name="Flux transformer",
    models=("FluxTransformer2DModel",),
    blocks=(
        Blocks("transformer_blocks", "num_layers", {"attn": Sides(JOINT, JOINT)}, stage="double"),
        Blocks(
            "single_transformer_blocks", "num_single_layers", {"attn": Sides(JOINT, JOINT)}, stage="single"
        ),
    ),
    attend=_attend,
    plan=packed_grid,
    texts=(TextPart("context", ("tokenizer_2",), ("prompt_2", "prompt")),),
    text_lengths={"context": 512},
    besides=_besides,
    guides=False,
    defaults=_DEV,
    known={
        "flux": Known(_DEV, (f"{_HUB}dev",), "FluxPipeline", _OTHERS),
        "flux-dev": Known(_DEV, (f"{_HUB}dev",), "FluxPipeline"),
        "flux-schnell": Known(_DEV, (f"{_HUB}schnell",), "FluxPipeline"),
    },
    latents=PACKED_LATENTS,
    pipelines={
        "FluxPipeline": _TWO_CALLS,
        "FluxImg2ImgPipeline": _TWO_CALLS,
        "FluxInpaintPipeline": _TWO_CALLS,
        "FluxControlNetPipeline": _TWO_CALLS,
        "FluxKontextPipeline": _TWO_CALLS,
        "FluxKontextInpaintPipeline": _TWO_CALLS,
        "FluxControlPipeline": _ONE,
        "FluxControlImg2ImgPipeline": _ONE,
        "FluxControlInpaintPipeline": _ONE,
        "FluxControlNetImg2ImgPipeline": _ONE,
        "FluxControlNetInpaintPipeline": _ONE,
        "FluxFillPipeline": _ONE,
    },
    latent_side=128,
    positions=("img_ids",),
)

"""Stable Diffusion 3 and 3.5: joint attention of the image and the tokens of two texts, CLIP's and T5's.

`diffusers/models/transformers/transformer_sd3.py`, `attention_processor.py` (JointAttnProcessor2_0: image first).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attnscope.atlas.families.family import Attended, RowsBy, Sides, TextPart
from attnscope.atlas.families.planning import Config, Known
from attnscope.atlas.families.transformer import Blocks, Transformer, patches, text_parts

_TEXTS = (
    TextPart("context/clip", ("tokenizer", "tokenizer_2"), keys=77),
    TextPart("context/t5", ("tokenizer_3",), ("prompt_3", "prompt"), encoder="text_encoder_3"),
)
_JOINT = ("own", "context")


def _attend(config: Config, arguments: Mapping[str, Any]) -> Attended:
    latent = tuple(arguments["hidden_states"].shape[-2:])
    grid = patches(config, latent)
    text = text_parts(_TEXTS, arguments["encoder_hidden_states"].shape[1])
    return Attended(grid, latent, {"own": grid.places, **text})


def _most_places(config: Config) -> int:
    return config["pos_embed_max_size"]


def _has(config: Config, block: int, name: str) -> bool:
    """Stable Diffusion 3.5 medium has an attention of the image to itself in some blocks."""
    return name == "attn" or block in config.get("dual_attention_layers", ())


# SD3Transformer2DModel's own defaults, which no released model has
_DEFAULTS: Config = {
    "sample_size": 128, "patch_size": 2, "num_layers": 18, "attention_head_dim": 64, "num_attention_heads": 18,
    "dual_attention_layers": (),
}  # fmt: skip
# transformer/config.json of each; the paper has the depth: 24 blocks, 64 channels a head and as many heads as blocks
_MEDIUM: Config = {**_DEFAULTS, "num_layers": 24, "num_attention_heads": 24}
_MEDIUM_35: Config = {**_MEDIUM, "dual_attention_layers": tuple(range(13))}
_LARGE_35: Config = {**_DEFAULTS, "num_layers": 38, "num_attention_heads": 38}
_HUB, _PIPELINE = "stabilityai/stable-diffusion-3", "StableDiffusion3Pipeline"
_GUIDED: RowsBy = {"prompt_embeds": "batch", "original_prompt_embeds": ("perturbed",)}

SD3 = Transformer(
    id="sd3",
    name="Stable Diffusion 3 transformer",
    models=("SD3Transformer2DModel",),
    blocks=(
        Blocks(
            "transformer_blocks",
            count="num_layers",
            attentions={"attn": Sides(_JOINT, _JOINT), "attn2": Sides(("own",), ("own",), "self2")},
            stage="joint",
            has=_has,
        ),
    ),
    attend=_attend,
    plan=patches,
    texts=_TEXTS,
    text_lengths={"context/clip": 77, "context/t5": 256},
    defaults=_DEFAULTS,
    known={
        "sd3": Known(_MEDIUM, (f"{_HUB}-medium-diffusers", f"{_HUB}-medium"), _PIPELINE),
        "sd3.5-medium": Known(_MEDIUM_35, (f"{_HUB}.5-medium",), _PIPELINE),
        "sd3.5-large": Known(_LARGE_35, (f"{_HUB}.5-large", f"{_HUB}.5-large-turbo"), _PIPELINE),
    },
    most_places=_most_places,
    pipelines={
        "StableDiffusion3Pipeline": _GUIDED,
        "StableDiffusion3Img2ImgPipeline": _GUIDED,
        "StableDiffusion3InpaintPipeline": _GUIDED,
        "StableDiffusion3ControlNetPipeline": _GUIDED,
        "StableDiffusion3ControlNetInpaintingPipeline": _GUIDED,
        "StableDiffusion3PAGPipeline": {"prompt_embeds": "batch"},
        "StableDiffusion3PAGImg2ImgPipeline": {"prompt_embeds": "batch"},
    },
)

"""Stable Cascade: its U-Nets have another name and other blocks."""

from __future__ import annotations

from typing import Any

import diffusers
import torch
from diffusers.pipelines.deprecated.wuerstchen import PaellaVQModel

from compatibility.case import PROMPT, Case
from compatibility.parts import (
    WIDE,
    generator,
    image_encoder,
    image_processor,
    pixels,
    text_encoder,
    tokenizer,
)

GROUP = "Stable Cascade"


def _decoder() -> Any:
    return diffusers.StableCascadeUNet(
        in_channels=4, out_channels=4, conditioning_dim=32, block_out_channels=[16, 32], num_attention_heads=[1, 2],
        down_num_layers_per_block=[1, 1], up_num_layers_per_block=[1, 1], down_blocks_repeat_mappers=[1, 1],
        up_blocks_repeat_mappers=[1, 1], switch_level=None, clip_text_pooled_in_channels=WIDE, dropout=[0.0, 0.0],
        block_types_per_layer=[["SDCascadeResBlock", "SDCascadeTimestepBlock", "SDCascadeAttnBlock"]] * 2,
    ).eval()  # fmt: skip


def _prior() -> Any:
    return diffusers.StableCascadeUNet(
        conditioning_dim=32, block_out_channels=(32, 32), num_attention_heads=(2, 2), down_num_layers_per_block=(1, 1),
        up_num_layers_per_block=(1, 1), switch_level=(False,), clip_image_in_channels=WIDE, clip_text_in_channels=WIDE,
        clip_text_pooled_in_channels=WIDE, dropout=(0.0, 0.0),
    ).eval()  # fmt: skip


def _text() -> dict[str, Any]:
    return {"tokenizer": tokenizer(), "text_encoder": text_encoder(projection=True)}


def _steps() -> Any:
    return diffusers.DDPMWuerstchenScheduler()


def _last() -> Any:
    picture = PaellaVQModel(bottleneck_blocks=1, num_vq_embeddings=2).eval()
    return diffusers.StableCascadeDecoderPipeline(
        decoder=_decoder(), vqgan=picture, scheduler=_steps(), latent_dim_scale=4.0, **_text()
    )


def _first() -> Any:
    return diffusers.StableCascadePriorPipeline(
        prior=_prior(), scheduler=_steps(), resolution_multiple=16.0, **_text()
    )


def _both() -> Any:
    picture = PaellaVQModel(bottleneck_blocks=1, num_vq_embeddings=2).eval()
    of_prior = {f"prior_{name}": part for name, part in _text().items()}
    return diffusers.StableCascadeCombinedPipeline(
        decoder=_decoder(),
        vqgan=picture,
        scheduler=_steps(),
        prior_prior=_prior(),
        prior_scheduler=_steps(),
        **_text(),
        **of_prior,
        prior_image_encoder=image_encoder(),
        prior_feature_extractor=image_processor(),
    )


def _decodes(pipe: Any) -> Any:
    embeds = torch.ones(1, 4, 4, 4)
    return pixels(
        pipe(
            embeds, PROMPT, num_inference_steps=2, output_type="np", generator=generator(), guidance_scale=2.0
        )
    )


def _plans(pipe: Any) -> Any:
    return pixels(
        pipe(PROMPT, height=64, width=64, num_inference_steps=2, generator=generator(), guidance_scale=2.0)
    )


def _all(pipe: Any) -> Any:
    settings = {
        "height": 64,
        "width": 64,
        "prior_num_inference_steps": 2,
        "num_inference_steps": 2,
        "output_type": "np",
    }
    return pixels(pipe(PROMPT, generator=generator(), **settings))


CASES = [
    Case("StableCascadeDecoderPipeline", GROUP, _last, _decodes, models=lambda pipe: [pipe.decoder]),
    Case("StableCascadePriorPipeline", GROUP, _first, _plans, models=lambda pipe: [pipe.prior]),
    Case("StableCascadeCombinedPipeline", GROUP, _both, _all, models=lambda pipe: [pipe.decoder]),
]

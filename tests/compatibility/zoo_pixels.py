"""Models whose attention has the text's keys beside its own, most of them on pixels: DeepFloyd IF, unCLIP."""

from __future__ import annotations

from typing import Any

import diffusers

from compatibility.case import NEGATIVE, PROMPT, Case
from compatibility.parts import (
    WIDE,
    generator,
    image_encoder,
    image_processor,
    mask,
    picture,
    pixels,
    sharp,
    text_encoder,
    tokenizer,
)  # fmt: skip
from compatibility.parts_text import t5_encoder, t5_tokenizer
from compatibility.zoo_stable_diffusion import asks

GROUP = "Added keys: DeepFloyd IF and unCLIP"
TOKENS = {"tokens": (2,)}  # T5 has no token before the first word


def added_keys(**changes: Any) -> Any:
    """A U-Net whose attentions read the places and the text in one softmax.

    Args:
        **changes: Options of UNet2DConditionModel to change.
    """
    settings = {
        "sample_size": 16, "layers_per_block": 1, "block_out_channels": (8, 16), "norm_num_groups": 4, "in_channels": 3,
        "out_channels": 6, "down_block_types": ("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        "mid_block_type": "UNetMidBlock2DSimpleCrossAttn", "cross_attention_dim": WIDE, "encoder_hid_dim": WIDE,
        "up_block_types": ("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"), "attention_head_dim": 4,
        "resnet_time_scale_shift": "scale_shift", "act_fn": "gelu",
    }  # fmt: skip
    return sharp(diffusers.UNet2DConditionModel(**{**settings, **changes}))


def _if_unet(**changes: Any) -> Any:
    text = {
        "addition_embed_type": "text",
        "addition_embed_type_num_heads": 2,
        "cross_attention_norm": "group_norm",
        "cross_attention_dim": 32,
        "block_out_channels": (8, 32),
    }
    return added_keys(**{**text, **changes})


def _noise(**changes: Any) -> Any:
    return diffusers.DDPMScheduler(
        beta_schedule="squaredcos_cap_v2", variance_type="learned_range", **changes
    )


def _if(name: str, run: Any, *, larger: bool = False) -> Case:
    def build() -> Any:
        parts: dict[str, Any] = {"unet": _if_unet()}
        if larger:
            parts["unet"] = _if_unet(in_channels=6, class_embed_type="timestep")
            parts["image_noising_scheduler"] = diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2")
        return getattr(diffusers, name)(
            tokenizer=t5_tokenizer(),
            text_encoder=t5_encoder(),
            scheduler=_noise(),
            watermarker=None,
            safety_checker=None,
            feature_extractor=None,
            **parts,
        )

    return Case(name, GROUP, build, run, **TOKENS)


def deep(**options: Any) -> Any:
    """A call of a DeepFloyd IF pipeline."""
    return asks(negative_prompt=NEGATIVE, clean_caption=False, **options)


def small() -> Any:
    """A picture of the model's own size."""
    return picture(16, 24)


def _text_projection() -> Any:
    from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel

    return UnCLIPTextProjModel(
        clip_extra_context_tokens=4, clip_embeddings_dim=WIDE, time_embed_dim=32, cross_attention_dim=WIDE
    ).eval()


def _larger() -> Any:
    from compatibility.zoo_unconditional import model

    return model(
        sample_size=32, in_channels=6, out_channels=3, down_block_types=("ResnetDownsampleBlock2D",) * 2,
        up_block_types=("ResnetUpsampleBlock2D",) * 2, resnet_time_scale_shift="scale_shift",
    )  # fmt: skip


def _unclip(kind: Any, **parts: Any) -> Any:
    decoder = added_keys(encoder_hid_dim=None, class_embed_type="identity", sample_size=16)
    known = {
        "tokenizer": tokenizer(),
        "text_encoder": text_encoder(projection=True),
        "text_proj": _text_projection(),
    }
    noise = diffusers.UnCLIPScheduler(
        variance_type="learned_range", prediction_type="epsilon", num_train_timesteps=1000
    )
    fixed = diffusers.UnCLIPScheduler(
        variance_type="fixed_small_log", prediction_type="epsilon", num_train_timesteps=1000
    )
    return kind(
        decoder=decoder, super_res_first=_larger(), super_res_last=_larger(), decoder_scheduler=noise,
        super_res_scheduler=fixed, **known, **parts,
    )  # fmt: skip


def _unclip_text() -> Any:
    prior = diffusers.PriorTransformer(
        num_attention_heads=2, attention_head_dim=8, embedding_dim=WIDE, num_layers=1
    )
    steps = diffusers.UnCLIPScheduler(variance_type="fixed_small_log", prediction_type="sample")
    return _unclip(diffusers.UnCLIPPipeline, prior=prior.eval(), prior_scheduler=steps)


def _unclip_variation() -> Any:
    kind = diffusers.UnCLIPImageVariationPipeline
    return _unclip(kind, image_encoder=image_encoder(), feature_extractor=image_processor())


UNCLIP_STEPS = {"decoder_num_inference_steps": 2, "super_res_num_inference_steps": 2, "output_type": "np"}


def _unclip_run(pipe: Any) -> Any:
    return pixels(pipe(PROMPT, prior_num_inference_steps=2, generator=generator(), **UNCLIP_STEPS))


def _unclip_vary(pipe: Any) -> Any:
    return pixels(pipe(picture(), generator=generator(), **UNCLIP_STEPS))


def decoder(pipe: Any) -> list[Any]:
    """unCLIP's model that reads the text."""
    return [pipe.decoder]


CASES = [
    _if("IFPipeline", deep(height=16, width=24)),
    _if("IFImg2ImgPipeline", deep(image=small, strength=1.0)),
    _if("IFInpaintingPipeline", deep(image=small, mask_image=lambda: mask(16, 24), strength=1.0)),
    _if("IFSuperResolutionPipeline", deep(height=16, width=24, image=lambda: picture(8, 12)), larger=True),
    _if(
        "IFImg2ImgSuperResolutionPipeline",
        deep(image=lambda: picture(8, 12), original_image=small, strength=1.0),
        larger=True,
    ),
    _if(
        "IFInpaintingSuperResolutionPipeline",
        larger=True,
        run=deep(
            image=lambda: picture(8, 12), original_image=small, mask_image=lambda: mask(16, 24), strength=1.0
        ),
    ),
    Case("UnCLIPPipeline", GROUP, _unclip_text, _unclip_run, models=decoder, tokens=(4 + 3,)),
    Case(
        "UnCLIPImageVariationPipeline",
        GROUP,
        _unclip_variation,
        _unclip_vary,
        models=decoder,
        word=0,
        tokens=(0,),
    ),
]

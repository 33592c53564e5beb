"""Pipelines of the Stable Diffusion v1 and v2 family."""

from __future__ import annotations

from typing import Any

import diffusers
import torch
from transformers import DPTConfig, DPTForDepthEstimation, DPTImageProcessor

from compatibility.case import NEGATIVE, PROMPT, Case
from compatibility.parts import (
    HEIGHT,
    WIDE,
    WIDTH,
    bare,
    generator,
    image_encoder,
    image_processor,
    mask,
    picture,
    pixels,
    scheduler,
    sharp,
    stable_diffusion,
    text_encoder,
    tokenizer,
    unet,
    vae,
)  # fmt: skip

GROUP = "Stable Diffusion"


def asks(prompt: Any = PROMPT, **options: Any) -> Any:
    """A call of a pipeline with a prompt; `options` that are functions are called, so that each run has its own."""

    def run(pipe: Any) -> Any:
        given = {name: value() if callable(value) else value for name, value in options.items()}
        words = {} if prompt is None else {"prompt": prompt}
        settings = {"num_inference_steps": 2, "output_type": "np", "generator": generator(), **given}
        return pixels(
            pipe(**words, **{name: value for name, value in settings.items() if value != "default"})
        )

    return run


def sized(prompt: Any = PROMPT, **options: Any) -> Any:
    """As `asks`, for 64x96 pixels and a negative prompt."""
    return asks(prompt, **{"height": HEIGHT, "width": WIDTH, "negative_prompt": NEGATIVE, **options})


def case(
    name: str, run: Any, *, make: Any = stable_diffusion, group: str = GROUP, parts: Any = dict, **truth: Any
) -> Case:
    """A case of the pipeline that diffusers has under `name`; its other components are made by `parts`."""
    return Case(name, group, lambda: make(getattr(diffusers, name), **parts()), run, **truth)


def _depth_parts() -> dict[str, Any]:
    config = DPTConfig(
        image_size=32, patch_size=16, hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=16,
        backbone_out_indices=(0, 1, 2, 3), is_hybrid=False, neck_hidden_sizes=[4, 4, 4, 4], fusion_hidden_size=4,
    )  # fmt: skip
    return {
        "unet": unet(in_channels=5),
        "depth_estimator": DPTForDepthEstimation(config).eval(),
        "feature_extractor": DPTImageProcessor(size={"height": 32, "width": 32}),
    }


def _variation(kind: Any) -> Any:
    return kind(
        vae=vae(), image_encoder=image_encoder(), unet=unet(), scheduler=scheduler(), safety_checker=None,
        feature_extractor=image_processor(),
    )  # fmt: skip


def _latent_upscaler() -> dict[str, Any]:
    model = diffusers.UNet2DConditionModel(
        act_fn="gelu",
        attention_head_dim=8,
        norm_num_groups=None,
        block_out_channels=[32, 32, 64, 64],
        conv_in_kernel=1,
        time_cond_proj_dim=WIDE + 128,
        conv_out_kernel=1,
        cross_attention_dim=WIDE,
        in_channels=8,
        out_channels=5,
        down_block_types=("KDownBlock2D", *("KCrossAttnDownBlock2D",) * 3),
        mid_block_type=None,
        only_cross_attention=False,
        up_block_types=(*("KCrossAttnUpBlock2D",) * 3, "KUpBlock2D"),
        resnet_time_scale_shift="scale_shift",
        time_embedding_type="fourier",
        timestep_post_act="gelu",
    )
    return {"unet": sharp(model), "scheduler": diffusers.EulerDiscreteScheduler(prediction_type="sample")}


def _upscaler() -> dict[str, Any]:
    return {
        "unet": unet(
            in_channels=7,
            only_cross_attention=(True, False),
            num_class_embeds=1000,
            use_linear_projection=True,
        ),
        "low_res_scheduler": diffusers.DDPMScheduler(),
        "vae": vae(
            block_out_channels=(4, 8, 8),
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
        ),
    }


def _unclip_parts(prior: bool) -> dict[str, Any]:
    from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import (
        StableUnCLIPImageNormalizer,
    )

    parts = {
        "unet": unet(class_embed_type="projection", projection_class_embeddings_input_dim=2 * WIDE),
        "image_normalizer": StableUnCLIPImageNormalizer(embedding_dim=WIDE),
        "image_noising_scheduler": diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
    }
    if not prior:
        return parts | {"image_encoder": image_encoder(), "feature_extractor": image_processor()}
    return parts | {
        "prior_tokenizer": tokenizer(),
        "prior_text_encoder": text_encoder(projection=True),
        "prior": diffusers.PriorTransformer(
            num_attention_heads=2, attention_head_dim=8, embedding_dim=WIDE, num_layers=1
        ),
        "prior_scheduler": diffusers.UnCLIPScheduler(
            variance_type="fixed_small_log", prediction_type="sample"
        ),
    }


def _ldm_text(kind: Any) -> Any:
    from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import LDMBertConfig, LDMBertModel

    torch.manual_seed(0)
    known = tokenizer()
    bert = LDMBertConfig(
        vocab_size=len(known), encoder_layers=1, encoder_ffn_dim=16, encoder_attention_heads=2, d_model=WIDE,
        pad_token_id=known.pad_token_id, head_dim=8,
    )  # fmt: skip
    return kind(
        vqvae=vae(), bert=LDMBertModel(bert).eval(), tokenizer=known, unet=unet(), scheduler=scheduler()
    )


def lcm() -> dict[str, Any]:
    """A consistency model's U-Net and scheduler: guidance is an embedding, not a row."""
    return {"unet": unet(time_cond_proj_dim=8), "scheduler": scheduler(diffusers.LCMScheduler)}


def _marigold(kind: Any) -> Any:
    made = {"unet": unet(in_channels=8), "vae": vae(), "scheduler": scheduler(prediction_type="v_prediction")}
    return kind(
        **made,
        text_encoder=text_encoder(),
        tokenizer=tokenizer(),
        default_denoising_steps=2,
        default_processing_resolution=0,
    )


def _marigold_intrinsics(kind: Any) -> Any:
    targets = {"target_names": ["albedo", "roughness"], "albedo": {"prediction_space": "srgb", "up_to_scale": False},
               "roughness": {"prediction_space": "linear", "up_to_scale": False}}  # fmt: skip
    made = {
        "unet": unet(in_channels=12, out_channels=8),
        "vae": vae(),
        "scheduler": scheduler(prediction_type="v_prediction"),
    }
    return kind(
        **made,
        text_encoder=text_encoder(),
        tokenizer=tokenizer(),
        default_denoising_steps=2,
        target_properties=targets,
        default_processing_resolution=0,
    )


IMAGE = {
    "branches": ("uncond", "cond"),
    "word": 0,
    "tokens": (0,),
}  # the condition is one embedding of a picture
MARIGOLD = {"branches": None, "word": 1, "tokens": (1,)}  # the empty prompt, padded to its own two tokens

CASES = [
    case("StableDiffusionPipeline", sized()),
    case("StableDiffusionImg2ImgPipeline", asks(negative_prompt=NEGATIVE, image=picture, strength=1.0)),
    case("StableDiffusionInpaintPipeline", sized(image=picture, mask_image=mask, strength=1.0)),
    case(
        "StableDiffusionDepth2ImgPipeline",
        asks(negative_prompt=NEGATIVE, image=picture, strength=1.0),
        make=bare,
        parts=_depth_parts,
    ),
    case(
        "StableDiffusionInstructPix2PixPipeline",
        asks(negative_prompt=NEGATIVE, image=picture),
        parts=lambda: {"unet": unet(in_channels=8)},
        branches=("cond", "image", "uncond"),
    ),
    case(
        "StableDiffusionUpscalePipeline",
        asks(negative_prompt=NEGATIVE, image=lambda: picture(16, 24)),
        make=bare,
        parts=_upscaler,
    ),
    case(
        "StableDiffusionLatentUpscalePipeline",
        asks(negative_prompt=NEGATIVE, image=lambda: torch.ones(1, 4, 8, 12)),
        make=bare,
        parts=lambda: _latent_upscaler() | {"text_encoder": text_encoder()},
    ),
    case(
        "StableDiffusionImageVariationPipeline",
        sized(None, image=picture, negative_prompt="default"),
        make=_variation,
        **IMAGE,
    ),
    case(
        "StableUnCLIPPipeline",
        sized(prior_num_inference_steps=2),
        make=bare,
        parts=lambda: _unclip_parts(True),
    ),
    case("StableUnCLIPImg2ImgPipeline", sized(image=picture), make=bare, parts=lambda: _unclip_parts(False)),
    case("LatentConsistencyModelPipeline", sized(negative_prompt="default"), parts=lcm, branches=("cond",)),
    case(
        "LatentConsistencyModelImg2ImgPipeline",
        asks(image=picture, num_inference_steps=4, strength=0.5),
        parts=lcm,
        branches=("cond",),
        steps=4,
    ),
    case("LDMTextToImagePipeline", sized(guidance_scale=3.0, negative_prompt="default"), make=_ldm_text),
    case("MarigoldDepthPipeline", asks(None, image=picture), make=_marigold, **MARIGOLD),
    case("MarigoldNormalsPipeline", asks(None, image=picture), make=_marigold, **MARIGOLD),
    case("MarigoldIntrinsicsPipeline", asks(None, image=picture), make=_marigold_intrinsics, **MARIGOLD),
]

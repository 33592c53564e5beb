"""Pipelines with text encoders of their own: AltDiffusion, Kolors, DreamLite, BLIP-Diffusion, UniDiffuser."""

from __future__ import annotations

import importlib
import inspect
from types import SimpleNamespace
from typing import Any

import diffusers
import torch
from torch import nn
from transformers import BatchEncoding, CLIPTextConfig, CLIPVisionConfig, CLIPVisionModelWithProjection

from compatibility.case import NEGATIVE, PROMPT, Case
from compatibility.parts import (
    SDXL_UNET,
    SMALL,
    WIDE,
    controlnet,
    generator,
    image_encoder,
    image_processor,
    picture,
    pixels,
    scheduler,
    sharp,
    text_encoder,
    tokenizer,
    unet,
    vae,
)  # fmt: skip
from compatibility.parts_text import roberta_tokenizer
from compatibility.zoo_stable_diffusion import asks, case, sized

GROUP = "Other text encoders"


def _alt() -> dict[str, Any]:
    from diffusers.pipelines.deprecated.alt_diffusion.modeling_roberta_series import (
        RobertaSeriesConfig,
        RobertaSeriesModelWithTransformation,
    )

    config = RobertaSeriesConfig(
        hidden_size=WIDE, project_dim=WIDE, intermediate_size=16, num_attention_heads=2, num_hidden_layers=1,
        vocab_size=len(roberta_tokenizer()), max_position_embeddings=90, has_pre_transformation=False,
    )  # fmt: skip
    return {
        "text_encoder": RobertaSeriesModelWithTransformation(config).eval(),
        "tokenizer": roberta_tokenizer(),
    }


class _Positions:
    """CLIP's tokenizer with the positions that ChatGLM's gives. ChatGLM's own needs the package sentencepiece."""

    model_max_length = 77

    def __len__(self) -> int:
        return len(tokenizer())

    def __call__(self, text: Any, **options: Any) -> BatchEncoding:
        known = tokenizer()(text, **options)
        if isinstance(known["input_ids"], torch.Tensor):
            known["position_ids"] = torch.arange(known["input_ids"].shape[1]).expand_as(known["input_ids"])
        return known


def _chatglm() -> Any:
    from diffusers.pipelines.kolors.text_encoder import ChatGLMConfig, ChatGLMModel

    config = ChatGLMConfig(
        num_layers=2, padded_vocab_size=len(tokenizer()), hidden_size=WIDE, ffn_hidden_size=16, kv_channels=8,
        num_attention_heads=2, seq_length=300, rmsnorm=True, apply_query_key_layer_scaling=False,
        original_rope=True,
    )  # fmt: skip
    model = ChatGLMModel(config, empty_init=False).eval()
    for weight in model.parameters():  # some are memory that nobody has written
        nn.init.ones_(weight) if weight.ndim == 1 else nn.init.normal_(weight, std=0.3)
    return model


def _kolors(module: str, name: str, run: Any, **truth: Any) -> Case:
    def build() -> Any:
        kind = getattr(importlib.import_module(f"diffusers.pipelines.{module}"), name)
        model = unet(
            **{
                **SDXL_UNET,
                "cross_attention_dim": WIDE,
                "projection_class_embeddings_input_dim": WIDE + 6 * 8,
            }
        )
        return kind(
            vae=vae(), text_encoder=_chatglm(), tokenizer=_Positions(), unet=model, scheduler=scheduler()
        )

    return Case(name, GROUP, build, run, **truth)


def _dreamlite(name: str, run: Any, **truth: Any) -> Case:
    def build() -> Any:
        model = diffusers.models.unets.unet_dreamlite.DreamLiteUNetModel(
            sample_size=8,
            down_block_types=("DreamLiteCrossAttnNoSelfAttnDownBlock2D", "DreamLiteCrossAttnDownBlock2D"),
            up_block_types=("DreamLiteCrossAttnUpBlock2D", "DreamLiteUpBlock2D"),
            block_out_channels=(32, 64),
            cross_attention_dim=WIDE,
            attention_head_dim=8,
            layers_per_block=1,
            norm_num_groups=8,
            transformer_layers_per_block=1,
        )
        decoder = diffusers.AutoencoderTiny(
            encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4, num_encoder_blocks=(1,) * 4,
            num_decoder_blocks=(1,) * 4,
        )  # fmt: skip
        pipe = getattr(diffusers, name)(
            text_encoder=text_encoder(), tokenizer=tokenizer(), processor=None, vae=decoder.eval(), unet=sharp(model),
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        )  # fmt: skip
        pipe.encode_prompt = _encodes(pipe)
        return pipe

    return Case(name, GROUP, build, run, **truth)


def _encodes(pipe: Any) -> Any:
    """Qwen's part is CLIP's here: what the U-Net gets has the same shape."""

    def encode_prompt(
        mode: str, prompts: Any, device: Any, dtype: Any, image: Any = None, **options: Any
    ) -> Any:
        known = tokenizer()(
            list(prompts), padding="max_length", max_length=24, truncation=True, return_tensors="pt"
        )
        mask = torch.ones_like(known.input_ids)
        return pipe.text_encoder(known.input_ids).last_hidden_state, mask

    return encode_prompt


def _blip(kind: Any, **more: Any) -> Any:
    """The Q-former does not run with transformers 5; what it makes of a picture is random here."""
    from diffusers.pipelines.deprecated.blip_diffusion.blip_image_processing import BlipImageProcessor
    from diffusers.pipelines.deprecated.blip_diffusion.modeling_ctx_clip import ContextCLIPTextModel

    known = tokenizer()
    text = CLIPTextConfig(
        vocab_size=len(known), hidden_size=WIDE, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=77, bos_token_id=known.bos_token_id, eos_token_id=known.eos_token_id,
    )  # fmt: skip
    former = nn.Module()
    former.config, former.device = SimpleNamespace(num_query_tokens=16), torch.device("cpu")
    parts = {
        "text_encoder": ContextCLIPTextModel(text).eval(),
        "qformer": former,
        "image_processor": BlipImageProcessor(),
    }
    noise = diffusers.PNDMScheduler(skip_prk_steps=True)
    pipe = kind(tokenizer=known, vae=vae(), unet=unet(), scheduler=noise, **parts, **more)
    pipe.get_query_embeddings = lambda picture, subject: torch.randn(1, 16, WIDE, generator=generator(7))
    return pipe


BLIP = {
    "reference_image": picture, "source_subject_category": lambda: ["cat"], "target_subject_category": lambda: ["cat"],
    "prompt_reps": 1,
}  # fmt: skip


def _unidiffuser() -> Any:
    from diffusers.pipelines.deprecated.unidiffuser import UniDiffuserModel, UniDiffuserTextDecoder

    model = UniDiffuserModel(
        text_dim=WIDE,
        clip_img_dim=WIDE,
        num_text_tokens=77,
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        norm_num_groups=4,
        sample_size=8,
        patch_size=2,
        block_type="unidiffuser",
        use_timestep_embedding=False,
        norm_type="layer_norm",
        activation_fn="gelu",
        num_embeds_ada_norm=1000,
    )
    words = UniDiffuserTextDecoder(
        prefix_length=77, prefix_inner_dim=WIDE, prefix_hidden_dim=WIDE, vocab_size=len(tokenizer()), n_positions=200,
        n_embd=WIDE, n_layer=1, n_head=2,
    )  # fmt: skip
    return diffusers.UniDiffuserPipeline(
        vae=vae(), text_encoder=text_encoder(), image_encoder=image_encoder(), clip_image_processor=image_processor(),
        clip_tokenizer=tokenizer(), text_decoder=words.eval(), text_tokenizer=tokenizer(), unet=sharp(model),
        scheduler=scheduler(diffusers.DPMSolverMultistepScheduler),
    )  # fmt: skip


def _in_turn(call: int) -> Any:
    return (("cond", 0),) if call % 2 == 0 else (("uncond", 0),)


def _unidiffuser_run(pipe: Any) -> Any:
    pipe.set_text_to_image_mode()
    return pixels(
        pipe(PROMPT, height=64, width=64, num_inference_steps=2, output_type="np", generator=generator())
    )


def _versatile(name: str, run: Any, **truth: Any) -> Case:
    def build() -> Any:
        from diffusers.pipelines.deprecated.versatile_diffusion.modeling_text_unet import (
            UNetFlatConditionModel,
        )

        kind = getattr(diffusers, name)
        flat = {
            **SMALL,
            "down_block_types": ("CrossAttnDownBlockFlat", "DownBlockFlat"),
            "mid_block_type": "UNetMidBlockFlatCrossAttn",
            "up_block_types": ("UpBlockFlat", "CrossAttnUpBlockFlat"),
            "sample_size": 8,
        }
        config = CLIPVisionConfig(
            hidden_size=WIDE, projection_dim=WIDE, intermediate_size=32, num_attention_heads=2, num_hidden_layers=1,
            image_size=224, patch_size=14,
        )  # fmt: skip
        made = {
            "tokenizer": tokenizer, "image_feature_extractor": lambda: image_processor(224),
            "text_encoder": lambda: text_encoder(projection=True),
            "image_encoder": lambda: CLIPVisionModelWithProjection(config).eval(), "image_unet": unet,
            "text_unet": lambda: sharp(UNetFlatConditionModel(**flat)), "vae": vae, "scheduler": scheduler,
        }  # fmt: skip
        wanted = list(inspect.signature(kind.__init__).parameters)[1:]
        return kind(**{part: made[part]() for part in wanted})

    return Case(name, GROUP, build, run, models=lambda pipe: [pipe.image_unet], **truth)


def _versatile_all(pipe: Any) -> Any:
    return pipe.text_to_image(
        PROMPT, num_inference_steps=2, generator=generator(), output_type="np", height=64, width=64
    ).images


EDIT = {"image": picture, "strength": 1.0, "negative_prompt": NEGATIVE}

CASES = [
    case("AltDiffusionPipeline", sized(), parts=_alt, group=GROUP),
    case("AltDiffusionImg2ImgPipeline", asks(**EDIT), parts=_alt, group=GROUP),
    _kolors("kolors.pipeline_kolors", "KolorsPipeline", sized(max_sequence_length=77)),
    _kolors("kolors.pipeline_kolors_img2img", "KolorsImg2ImgPipeline", asks(**EDIT, max_sequence_length=77)),
    _kolors(
        "pag.pipeline_pag_kolors",
        "KolorsPAGPipeline",
        sized(max_sequence_length=77),
        branches=("uncond", "cond", "perturbed"),
        rows_apart=True,
    ),
    _dreamlite("DreamLitePipeline", sized()),
    _dreamlite("DreamLiteMobilePipeline", sized(negative_prompt="default"), branches=("cond",)),
    case(
        "BlipDiffusionPipeline",
        asks(**BLIP, height=16, width=24),
        make=_blip,
        steps=3,
        group=GROUP,
        word=0,
        tokens=(0,),
    ),
    case(
        "BlipDiffusionControlNetPipeline",
        asks(**BLIP, height=16, width=24, condtioning_image=picture),
        group=GROUP,
        make=lambda kind: _blip(kind, controlnet=controlnet(conditioning_embedding_out_channels=(4, 8))),
        word=0,
        tokens=(0,),
        steps=3,
    ),
    Case("UniDiffuserPipeline", GROUP, _unidiffuser, _unidiffuser_run, rows=_in_turn),
    _versatile("VersatileDiffusionTextToImagePipeline", sized(negative_prompt="default")),
    _versatile(
        "VersatileDiffusionImageVariationPipeline",
        sized(None, image=picture, negative_prompt="default"),
        word=0,
        tokens=(0,),
    ),
    _versatile("VersatileDiffusionPipeline", _versatile_all),
]

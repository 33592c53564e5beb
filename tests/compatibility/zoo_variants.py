"""Pipelines that do something else with Stable Diffusion's U-Net: more rows, more calls, processors of their own."""

from __future__ import annotations

from typing import Any

import diffusers
import numpy as np
import torch
from transformers import CLIPVisionConfig

from compatibility.case import NEGATIVE, PROMPT, Case
from compatibility.parts import (
    HEIGHT,
    WIDE,
    WIDTH,
    generator,
    image_encoder,
    image_processor,
    mask,
    picture,
    pixels,
    scheduler,
    stable_diffusion,
    stable_diffusion_xl,
    tokenizer,
    unet,
    vae,
)  # fmt: skip
from compatibility.zoo_stable_diffusion import IMAGE, asks, case, sized

GROUP = "Variants of Stable Diffusion"


def variant(name: str, run: Any, **truth: Any) -> Case:
    """A case of this table."""
    return case(name, run, **{"group": GROUP, **truth})


def _paint(kind: Any) -> Any:
    from diffusers.pipelines.deprecated.paint_by_example import PaintByExampleImageEncoder

    config = CLIPVisionConfig(
        hidden_size=WIDE, projection_dim=WIDE, intermediate_size=32, num_attention_heads=2, num_hidden_layers=5,
        image_size=32, patch_size=8,
    )  # fmt: skip
    return kind(
        vae=vae(), image_encoder=PaintByExampleImageEncoder(config, proj_size=WIDE).eval(), unet=unet(in_channels=9),
        scheduler=scheduler(), safety_checker=None, feature_extractor=image_processor(),
    )  # fmt: skip


def gligen_text() -> dict[str, Any]:
    """A U-Net with a gated attention to boxes."""
    return {"unet": unet(attention_type="gated")}


def _gligen_images() -> dict[str, Any]:
    from diffusers.pipelines.stable_diffusion import CLIPImageProjection
    from transformers import CLIPProcessor

    return {
        "unet": unet(attention_type="gated-text-image"),
        "image_encoder": image_encoder(),
        "processor": CLIPProcessor(image_processor(), tokenizer()),
        "image_project": CLIPImageProjection(hidden_size=WIDE),
    }


BOXES = {
    "gligen_phrases": lambda: ["cat"],
    "gligen_boxes": lambda: [[0.1, 0.2, 0.6, 0.7]],
    "gligen_scheduled_sampling_beta": 1.0,
}


def _excite_rows(call: int) -> Any:
    return (("cond", 0),) if call % 2 == 0 else (("uncond", 0), ("cond", 0))


def _guided_rows(call: int) -> Any:
    return (("uncond", 0), ("cond", 0)) if call % 2 == 0 else (("uncond", 0),)


def _odd(count: int) -> list[int]:
    return list(range(1, count, 2))


def _even(count: int) -> list[int]:
    return list(range(0, count, 2))


def _diffedit() -> dict[str, Any]:
    return {"inverse_scheduler": diffusers.DDIMInverseScheduler(clip_sample=False)}


def _diffedit_run(pipe: Any) -> Any:
    latents = torch.randn(1, 2, 4, HEIGHT // 8, WIDTH // 8, generator=generator())
    settings = {
        "num_inference_steps": 2,
        "inpaint_strength": 1.0,
        "output_type": "np",
        "generator": generator(),
    }
    chosen = np.zeros((1, HEIGHT // 8, WIDTH // 8), dtype=np.float32)
    return pixels(
        pipe(PROMPT, negative_prompt=NEGATIVE, mask_image=chosen, image_latents=latents, **settings)
    )


def _diffedit_mask(pipe: Any) -> Any:
    made = pipe.generate_mask(
        picture(), target_prompt=PROMPT, source_prompt="the grass", num_maps_per_mask=1, num_inference_steps=2,
        generator=generator(),
    )  # fmt: skip
    return np.asarray(made)


def _diffedit_invert(pipe: Any) -> Any:
    return pixels(
        pipe.invert(PROMPT, picture(), num_inference_steps=2, inpaint_strength=1.0, generator=generator())
    )


def _ledits(pipe: Any) -> Any:
    pipe.invert(image=picture(), num_inversion_steps=2, skip=0.0, generator=generator())
    return pixels(
        pipe(editing_prompt=[PROMPT], edit_guidance_scale=5.0, use_intersect_mask=False, output_type="np")
    )


def _ledits_rows(call: int) -> Any:
    """Two steps of inversion without a text; then the prompt is that of the edit."""
    return (("uncond", 0),) if call < 2 else (("uncond", 0), ("edit", 0))


def ledits_scheduler() -> dict[str, Any]:
    return {
        "scheduler": scheduler(
            diffusers.DPMSolverMultistepScheduler, algorithm_type="sde-dpmsolver++", solver_order=2
        )
    }


def _pix2pix_zero() -> dict[str, Any]:
    return {"inverse_scheduler": None, "caption_generator": None, "caption_processor": None}


def _directions() -> Any:
    return torch.randn(1, 77, WIDE, generator=torch.Generator().manual_seed(5))


def _edited_model(pipe: Any) -> Any:
    pipe.edit_model("the grass", "the red grass", lamb=0.1)
    return sized()(pipe)


def _cycle_rows(call: int) -> Any:
    return (("source_uncond", 0), ("uncond", 0), ("source", 0), ("cond", 0))


def _paradigms_rows(call: int) -> Any:
    """Two timesteps of one image are two images here."""
    return (("uncond", 0), ("cond", 0), ("uncond", 1), ("cond", 1))


CASES = [
    variant(
        "StableDiffusionPipelineSafe",
        sized(),
        branches=("uncond", "cond", "safety"),
        parts=lambda: {"safety_checker": None},
    ),
    variant(
        "SemanticStableDiffusionPipeline",
        sized(editing_prompt="red grass"),
        branches=("uncond", "cond", "edit"),
    ),
    variant(
        "StableDiffusionLDM3DPipeline",
        sized(),
        parts=lambda: {"image_encoder": None, "vae": vae(in_channels=6, out_channels=6)},
    ),
    variant("StableDiffusionPanoramaPipeline", sized(height=64, width=96)),
    variant(
        "StableDiffusionAttendAndExcitePipeline",
        sized(token_indices=lambda: [3], max_iter_to_alter=2, thresholds=dict, attn_res=lambda: (4, 6)),
        make=stable_diffusion,
        rows=_excite_rows,
        mains=_odd,
    ),
    variant("StableDiffusionSAGPipeline", sized(sag_scale=1.0), rows=_guided_rows, mains=_even),
    variant("StableDiffusionModelEditingPipeline", _edited_model, parts=lambda: {"with_augs": []}),
    variant(
        "StableDiffusionParadigmsPipeline",
        sized(parallel=2, tolerance=0.0),
        rows=_paradigms_rows,
        parts=lambda: {"scheduler": scheduler(diffusers.DDIMParallelScheduler)},
    ),
    variant(
        "StableDiffusionPix2PixZeroPipeline",
        sized(source_embeds=_directions, target_embeds=_directions),
        parts=_pix2pix_zero,
        steps=4,  # two runs of two: along the source, then along the edit
    ),
    variant("StableDiffusionDiffEditPipeline", _diffedit_run, parts=_diffedit),
    variant(
        "CycleDiffusionPipeline",
        asks(image=picture, source_prompt="the red grass", strength=1.0),
        rows=_cycle_rows,
    ),
    variant(
        "StableDiffusionInpaintPipelineLegacy",
        asks(negative_prompt=NEGATIVE, image=picture, mask_image=mask, strength=1.0),
    ),
    variant(
        "PaintByExamplePipeline",
        sized(None, example_image=picture, image=picture, mask_image=mask, negative_prompt="default"),
        make=_paint,
        **IMAGE,
    ),
    variant("StableDiffusionGLIGENPipeline", sized(**BOXES), parts=gligen_text),
    variant(
        "StableDiffusionGLIGENTextImagePipeline",
        sized(**BOXES, gligen_images=lambda: [picture(32, 32)]),
        parts=_gligen_images,
    ),
    variant("LEditsPPPipelineStableDiffusion", _ledits, rows=_ledits_rows, parts=ledits_scheduler, steps=4),
    variant(
        "LEditsPPPipelineStableDiffusionXL",
        _ledits,
        rows=_ledits_rows,
        parts=ledits_scheduler,
        make=stable_diffusion_xl,
        steps=4,
    ),
]

"""Pipelines that put other rows into their batch than most do, of the tiny pipeline's parts."""

from functools import cache
from importlib import import_module

import diffusers
import numpy as np
import pytest
import torch
from diffusers import DDIMInverseScheduler, DPMSolverMultistepScheduler, StableDiffusionPipeline
from PIL import Image
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

from attnscope.testing.tiny_models import tiny_unet

PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8))
MASK = Image.fromarray(np.full((128, 128), 255, dtype=np.uint8))
VISION = {
    "hidden_size": 16, "projection_dim": 16, "intermediate_size": 32, "num_attention_heads": 2, "image_size": 32,
    "patch_size": 8,
}  # fmt: skip


@cache
def unet_of(in_channels):
    return tiny_unet(in_channels=in_channels)


def made(name, pipe, **parts):
    """A pipeline of diffusers of the tiny one's parts; None takes a part away."""
    known = {"safety_checker": None, "feature_extractor": None} | pipe.components | parts
    kind = getattr(diffusers, name, None) or pytest.skip(f"this diffusers has no {name}")
    takes = kind.__init__.__wrapped__ if hasattr(kind.__init__, "__wrapped__") else kind.__init__
    names = takes.__code__.co_varnames[1 : takes.__code__.co_argcount]
    pipeline = kind(**{part: known[part] for part in names if part in known})
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


class OwnGuidance(StableDiffusionPipeline):
    """As people write their own: nothing tells attnscope what the rows are."""

    @torch.no_grad()
    def __call__(self, rows, text):
        self.scheduler.set_timesteps(1)
        return self.unet(
            torch.zeros(rows, 4, 16, 16), self.scheduler.timesteps[0], encoder_hidden_states=text
        )


def image_parts():
    torch.manual_seed(0)
    return {
        "image_encoder": CLIPVisionModelWithProjection(
            CLIPVisionConfig(num_hidden_layers=1, **VISION)
        ).eval(),
        "feature_extractor": CLIPImageProcessor(
            crop_size={"height": 32, "width": 32}, size={"shortest_edge": 32}
        ),
    }


def variation(pipe):
    return made("StableDiffusionImageVariationPipeline", pipe, **image_parts())


def painting(pipe):
    folder = import_module(diffusers.PaintByExamplePipeline.__module__.rpartition(".")[0])  # it was moved

    torch.manual_seed(0)
    encoder = folder.PaintByExampleImageEncoder(
        CLIPVisionConfig(num_hidden_layers=5, **VISION), proj_size=16
    ).eval()
    return made(
        "PaintByExamplePipeline", pipe, **image_parts() | {"image_encoder": encoder, "unet": unet_of(9)}
    )


def latent_diffusion(pipe):
    from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import LDMBertConfig, LDMBertModel

    torch.manual_seed(0)
    config = LDMBertConfig(
        vocab_size=len(pipe.tokenizer), encoder_layers=1, encoder_ffn_dim=16, encoder_attention_heads=2, d_model=16,
        pad_token_id=pipe.tokenizer.pad_token_id, head_dim=8,
    )  # fmt: skip
    return made("LDMTextToImagePipeline", pipe, bert=LDMBertModel(config).eval(), vqvae=pipe.vae)


def instructed(pipe):
    return made("StableDiffusionInstructPix2PixPipeline", pipe, unet=unet_of(8))


def edited(pipe):
    scheduler = DPMSolverMultistepScheduler(
        beta_schedule="scaled_linear", algorithm_type="sde-dpmsolver++", solver_order=2
    )
    return made("LEditsPPPipelineStableDiffusion", pipe, scheduler=scheduler)


def inverting(pipe):
    return made(
        "StableDiffusionDiffEditPipeline", pipe, inverse_scheduler=DDIMInverseScheduler(clip_sample=False)
    )


def of_same_parts(name):
    return lambda pipe: made(name, pipe)

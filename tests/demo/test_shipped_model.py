"""The model in the package: small, of Stable Diffusion's topology, its attention means something."""

from __future__ import annotations

import json

import pytest
import torch
from diffusers import StableDiffusionPipeline
from diffusers.models.attention_processor import Attention
from safetensors import safe_open

from attnscope.demo import DIFFSEG_THRESHOLD, MODEL_FOLDER
from attnscope.demo.evaluate import evaluate
from attnscope.demo.scenes import FIRST_TRAINING_SEED, scene


@pytest.fixture(scope="module")
def pipe():
    loaded = StableDiffusionPipeline.from_pretrained(MODEL_FOLDER, safety_checker=None)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def test_all_files_together_are_under_16_megabytes():
    assert sum(path.stat().st_size for path in MODEL_FOLDER.rglob("*") if path.is_file()) < 16e6


def test_it_has_sixteen_blocks_of_self_and_cross_attention_with_eight_heads(pipe):
    attentions = [module for module in pipe.unet.modules() if isinstance(module, Attention)]
    assert len(attentions) == 32
    assert {module.heads for module in attentions} == {8}


def test_its_pictures_have_256_pixels_a_side(pipe):
    assert pipe("a red house", num_inference_steps=1).images[0].size == (256, 256)


@pytest.mark.parametrize("prompt", ["", "an astronaut riding a horse, 4k", "星空 🎈"])
def test_any_prompt_works(pipe, prompt):
    assert pipe(prompt, num_inference_steps=1, height=64, width=64).images


def test_its_text_encoder_has_the_names_that_transformers_4_reads():
    with safe_open(MODEL_FOLDER / "text_encoder" / "model.safetensors", "pt") as weights:
        assert all(name.startswith("text_model.") for name in weights.keys())  # noqa: SIM118 (not a dict)


def test_its_latents_are_white(pipe):
    pictures = torch.stack([torch.from_numpy(scene(seed).image).permute(2, 0, 1) for seed in range(8)])
    with torch.no_grad():
        latents = (
            pipe.vae.encode(pictures.float() / 127.5 - 1).latent_dist.mean * pipe.vae.config.scaling_factor
        )
    assert 0.7 < latents.std() < 1.4


def test_its_record_says_which_scenes_it_saw(pipe):
    record = json.loads((MODEL_FOLDER / "training.json").read_text())
    assert record["phases"]["full"]["samples"] > 0
    assert FIRST_TRAINING_SEED > 200


@pytest.mark.slow
def test_its_words_and_segments_are_nearly_all_right(pipe):
    scores = evaluate(pipe, [scene(seed) for seed in range(500, 512)], thresholds=[DIFFSEG_THRESHOLD, 0.9])
    assert scores.pointing["thing"] > 0.9
    assert scores.pointing["thing, colours swapped"] > 0.6
    assert scores.segment_iou[DIFFSEG_THRESHOLD] > 0.75
    assert scores.segment_iou[0.9] > 0.65  # the least of the published thresholds

"""LoRAs on transformers, by diffusers' loader and by PEFT: what is recorded is what the changed model computes."""

import numpy as np
import pytest
import torch
from PIL import Image

import attnscope
from attnscope.testing.transformers import tiny_flux, tiny_pixart, tiny_sd3
from transformer_cases import CASES, PROMPT
from watched_runs import watched, words

peft = pytest.importorskip("peft", reason="LoRAs need peft")

TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj"]
LOADED = [case for case in CASES if case.make in (tiny_sd3, tiny_flux)]
WRAPPED = [case for case in CASES if case.make in (tiny_sd3, tiny_flux, tiny_pixart)]
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:peft")


def state_of_lora(model, seed):
    """As in the file of a LoRA: two small matrices for each projection."""
    numbers = torch.Generator().manual_seed(seed)
    state = {}
    for path, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and path.endswith(tuple(TARGETS)):
            for half, shape in {"A": (4, module.in_features), "B": (module.out_features, 4)}.items():
                state[f"transformer.{path}.lora_{half}.weight"] = torch.randn(shape, generator=numbers) / 2
    return state


def with_random_weights(model):
    numbers = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.3, generator=numbers)
    return model


def check(case, pipe, plain, *, changes=True, model=None):
    trace = watched(pipe, lambda: case.run(pipe), model=model)
    assert np.array_equal(case.run(pipe), plain) != changes
    assert len(trace.layers) == case.layers
    assert all(
        layer.path.startswith("transformer_blocks.") or "single" in layer.path for layer in trace.layers
    )
    assert words(trace) == PROMPT.split()
    assert attnscope.heat_map(trace, "cat").array.shape == trace.run.latent_size_hw


@pytest.mark.parametrize("case", LOADED, ids=str)
def test_loras_that_diffusers_loads_chooses_and_fuses(case, tmp_path):
    pipe = case.make(tmp_path)
    plain = case.run(pipe)
    states = [state_of_lora(pipe.transformer, seed) for seed in (1, 2)]
    pipe.load_lora_weights(states[0], adapter_name="first")
    check(case, pipe, plain)
    pipe.load_lora_weights(states[1], adapter_name="second")
    pipe.set_adapters(["first", "second"], [0.7, 0.4])
    check(case, pipe, plain)
    pipe.disable_lora()
    check(case, pipe, plain, changes=False)
    pipe.enable_lora()
    pipe.fuse_lora()
    check(case, pipe, plain)
    pipe.unload_lora_weights()
    check(case, pipe, plain)


@pytest.mark.parametrize("case", WRAPPED, ids=str)
def test_a_model_in_peft_has_the_paths_that_it_has_alone(case, tmp_path):
    """PixArt has no loader of diffusers: people give PEFT its transformer."""
    pipe = case.make(tmp_path)
    plain, model = case.run(pipe), pipe.transformer
    pipe.transformer = with_random_weights(
        peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=TARGETS[:4]))
    )
    check(case, pipe, plain, model=model)


def test_a_photo_and_the_doctor_see_a_model_in_peft(tmp_path):
    pipe = tiny_pixart(tmp_path)
    pipe.transformer = peft.get_peft_model(pipe.transformer, peft.LoraConfig(r=4, target_modules=TARGETS[:4]))
    assert attnscope.segment(Image.new("RGB", (96, 64), "green"), pipe).labels.shape == (64, 96)
    assert attnscope.doctor(pipe).well


def test_a_u_net_in_peft_is_captured():
    pipe = attnscope.load_pipeline("demo")
    pipe.unet = with_random_weights(
        peft.get_peft_model(pipe.unet, peft.LoraConfig(r=4, target_modules=TARGETS[:4]))
    )
    with attnscope.capture(pipe) as trace:
        pipe("a red star", num_inference_steps=2, output_type="np")
    assert trace.branches == ("uncond", "cond")
    assert all(not layer.path.startswith("base_model") for layer in trace.layers)
    assert words(trace) == ["a", "red", "star"]

"""LoRAs on U-Nets and their text encoders, as diffusers loads them with PEFT."""

import numpy as np
import pytest
import torch

import attnscope
from attnscope.testing import tiny_sdxl
from watched_runs import watched, words

pytest.importorskip("peft", reason="LoRAs need peft")

PROMPT = "a red star and a house"
TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "q_proj", "k_proj", "v_proj", "out_proj")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:peft", "ignore::FutureWarning")


def demo():
    return attnscope.load_pipeline("demo")


def state_of_lora(pipe, seed):
    """As in the file of a LoRA: two small matrices for each projection of the U-Net and of the text encoders."""
    numbers = torch.Generator().manual_seed(seed)
    state = {}
    for part in ("unet", "text_encoder", "text_encoder_2"):
        model = getattr(pipe, part, None)
        for path, module in model.named_modules() if model else ():
            if isinstance(module, torch.nn.Linear) and path.endswith(TARGETS):
                for half, shape in {"A": (4, module.in_features), "B": (module.out_features, 4)}.items():
                    state[f"{part}.{path}.lora_{half}.weight"] = torch.randn(shape, generator=numbers) / 4
    return state


def runner(pipe, **settings):
    def run():
        seed = torch.Generator().manual_seed(0)
        size = {"height": 64, "width": 64, "num_inference_steps": 2}
        return pipe(PROMPT, generator=seed, output_type="np", **size, **settings).images[0]

    return run


def check(pipe, run, plain, *, changes=True):
    trace = watched(pipe, run, model=pipe.unet, atol=1e-5)
    assert np.array_equal(run(), plain) != changes
    assert trace.branches == ("uncond", "cond")
    assert not any("lora" in layer.path or layer.path.startswith("base_model") for layer in trace.layers)
    assert words(trace) == PROMPT.split()
    assert attnscope.heat_map(trace, "star").array.shape == trace.run.latent_size_hw
    return trace


@pytest.fixture(params=[demo, tiny_sdxl], ids=["sd", "sdxl"])
def lora_pipe(request):
    pipe = request.param()
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_loras_are_loaded_chosen_by_block_fused_and_taken_off(lora_pipe):
    run = runner(lora_pipe)
    plain = run()
    layers = [layer.path for layer in check(lora_pipe, run, plain, changes=False).layers]
    states = {"first": state_of_lora(lora_pipe, 1), "second": state_of_lora(lora_pipe, 2)}
    for name, state in states.items():
        lora_pipe.load_lora_weights(state, adapter_name=name)
        assert [layer.path for layer in check(lora_pipe, run, plain).layers] == layers
    by_block = {"text_encoder": 0.5, "unet": {"down": 0.3, "mid": 1.0, "up": 0.7}}
    lora_pipe.set_adapters(["first", "second"], [by_block, 0.4])
    both = check(lora_pipe, run, plain)
    lora_pipe.fuse_lora()
    fused = check(lora_pipe, run, plain)
    lora_pipe.unfuse_lora()
    torch.testing.assert_close(
        fused.probabilities(block=1, kind="cross", step=0), both.probabilities(block=1, kind="cross", step=0),
        rtol=0, atol=1e-4,
    )  # fmt: skip
    lora_pipe.unload_lora_weights()
    watched(lora_pipe, run, model=lora_pipe.unet, atol=1e-5)
    np.testing.assert_allclose(run(), plain, atol=1e-4)  # to fuse and unfuse weights rounds them


def test_the_calls_own_scale_is_seen(lora_pipe):
    """People give it with each call: `cross_attention_kwargs={"scale": 0.5}`."""
    plain = runner(lora_pipe)()
    lora_pipe.load_lora_weights(state_of_lora(lora_pipe, 1))
    check(lora_pipe, runner(lora_pipe, cross_attention_kwargs={"scale": 0.5}), plain)
    check(lora_pipe, runner(lora_pipe, cross_attention_kwargs={"scale": 0.0}), plain, changes=False)


def test_edits_act_on_a_model_with_a_lora_and_leave_it(lora_pipe):
    run = runner(lora_pipe)
    lora_pipe.load_lora_weights(state_of_lora(lora_pipe, 1))
    plain = run()
    with attnscope.edit(lora_pipe, attnscope.Reweight("star", 3.0)):
        edited = run()
    assert not np.array_equal(edited, plain)
    assert np.array_equal(run(), plain)

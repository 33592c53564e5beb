"""Ways to run one pipeline, combined at random: each answer is right, as for the single ones in tests/compatibility."""

from __future__ import annotations

import pytest
import torch

from compatibility import options, schedulers
from compatibility.case import NEGATIVE, PROMPT
from compatibility.hand_written import ByMatmul, ByScores, InChunks
from compatibility.image_adapters import embeds, two_adapters, with_adapter
from compatibility.parts import add_lora, picture
from compatibility.running import outcome
from compatibility.zoo_stable_diffusion import sized

pytestmark = pytest.mark.attack


def by(processor):
    return lambda pipe: pipe.unet.set_attn_processor(processor())


CHANGES = {
    "nothing": None,
    "LoRA": lambda pipe: add_lora(pipe.unet),
    "hypernetwork": options.hypernetwork,
    "FreeU": options.freeu,
    "fused projections": lambda pipe: pipe.fuse_qkv_projections(vae=False),
    "slicing": lambda pipe: pipe.enable_attention_slicing(1),
    "channels last": options.channels_last,
    "bfloat16": lambda pipe: pipe.to(torch.bfloat16),
    "offloading": options.accelerate_hooks,
    "one IP-Adapter": with_adapter.load,
    "two IP-Adapters": two_adapters.load,
    "ControlNet": options.control,
    "scores": by(ByScores),
    "matmul": by(ByMatmul),
    "chunks": by(InChunks),
}


def call(random, change):
    """How the pipeline is called, and how many pictures and whether guidance come of it."""
    two, each, guided = random.random() < 0.3, random.choice([1, 1, 2, 3]), random.random() < 0.75
    called = {"num_images_per_prompt": each}
    if random.random() < 0.5:
        called["negative_prompt"] = (lambda: [NEGATIVE, "a cat"]) if two else NEGATIVE
    else:
        called["negative_prompt"] = "default"
    if not guided:
        called["guidance_scale"] = 1.0
    if random.random() < 0.2:
        called["guidance_rescale"] = 0.6
    if change == "ControlNet":
        called |= {"image": picture, "guess_mode": random.random() < 0.4}
    if "IP-Adapter" in change:
        given = [embeds(random.choice([1, 2, 3])) for _ in range(1 + (change == "two IP-Adapters"))]
        called["ip_adapter_image_embeds"] = lambda: given if guided else [of_one[1:] for of_one in given]
    prompts = random.choice([[PROMPT, "the red star"], [PROMPT, PROMPT]]) if two else PROMPT
    return prompts, called, each * (1 + two), guided


def kept(random, folder):
    """Where the trace goes."""
    return random.choice(
        [
            {},
            {},
            {"folder": folder / "run.trace"},
            {"budget": "2MB"},
            {"folder": folder / "run.trace", "budget": "2MB"},
        ]
    )


@pytest.mark.thorough
def test_combinations(attack, tmp_path):
    for number in attack.tries(16):
        change = attack.random.choice(list(CHANGES))
        prompts, called, images, guided = call(attack.random, change)
        scheduler = attack.random.choice(schedulers.names())
        case = options.option(
            change,
            sized(prompts, num_inference_steps=3, **called),
            change=CHANGES[change],
            parts=lambda name=scheduler: {"scheduler": schedulers._made(name)},
            images=images,
            branches=("uncond", "cond") if guided else ("cond",),
            options=kept(attack.random, tmp_path / str(number)),
            steps=schedulers.ENTRIES.get(scheduler, 3),
            mains=schedulers._first_of_two if scheduler in schedulers.TWICE else None,
        )
        cells = outcome(case)
        attack.count("right")
        assert {column: cell for column, cell in cells.items() if cell.verdict != "right"} == {}, (
            change, scheduler, prompts, called, case.options,
        )  # fmt: skip

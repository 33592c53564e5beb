"""Make the pictures of docs/editing.md: edits of one noise, and prompt-to-prompt of a drawn scene.

python docs/images/make_editing_images.py
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

import attnscope
from attnscope import Region
from attnscope.cli.output import say
from attnscope.demo import GUIDANCE_SCALE
from attnscope.demo.scenes import scene

HERE = Path(__file__).parent
PROMPT, SEED = "a red house and a green tree on the grass", 2
SCENE, TARGET_STEPS, SELF_STEPS = 1, 50, 0.6
GAP_PX, QUALITY = 8, 92


def in_a_row(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures of one size beside each other."""
    width, height = pictures[0].size
    row = Image.new("RGB", (len(pictures) * (width + GAP_PX) - GAP_PX, height), "white")
    for number, picture in enumerate(pictures):
        row.paste(picture, (number * (width + GAP_PX), 0))
    return row


def of_one_noise(pipe: Any) -> list[Image.Image]:
    """A prompt, another prompt, prompt-to-prompt, and two words in chosen places."""
    run = {"num_inference_steps": 20, "guidance_scale": GUIDANCE_SCALE}

    def painted(prompt: str) -> Image.Image:
        return pipe(prompt, generator=torch.Generator().manual_seed(SEED), **run).images[0]

    other = PROMPT.replace("red", "blue")
    kept = attnscope.prompt_to_prompt(
        pipe, [PROMPT, other], "replace", cross_steps=0.8, self_steps=0.5, generator=SEED, **run
    )
    plain, changed = painted(PROMPT), painted(other)
    with attnscope.edit(pipe, Region("tree", (0, 0, 1, 0.4)), Region("house", (0, 0.5, 1, 1))):
        placed = painted(PROMPT)
    return [plain, changed, kept.images[1], placed]


def of_a_photo(pipe: Any) -> list[Image.Image]:
    """A drawn scene, the same made again, and with another colour; says how near the second is."""
    drawn = scene(SCENE)
    inversion = attnscope.invert_photo(
        pipe, drawn.pil_image, drawn.caption, null_text=True, num_inference_steps=TARGET_STEPS
    )
    prompts = [drawn.caption, drawn.caption.replace("red", "blue")]
    made = attnscope.prompt_to_prompt(
        pipe, prompts, inversion=inversion, blend_words=["tree", "tree"], self_steps=SELF_STEPS
    )
    source, target = made.images
    say(f"PSNR of the source: {decibels(source, inversion.picture(pipe)):.0f} dB to inversion.picture(pipe)")
    say(f"{decibels(source, drawn.pil_image):.1f} dB to the scene")
    return [drawn.pil_image, source, target]


def decibels(one: Image.Image, other: Image.Image) -> float:
    """How near two pictures are."""
    return float(peak_signal_noise_ratio(np.asarray(one), np.asarray(other)))


def make() -> None:
    pipe = attnscope.load_pipeline("demo")
    pipe.set_progress_bar_config(disable=True)
    in_a_row(of_one_noise(pipe)).save(HERE / "editing.jpg", quality=QUALITY)
    in_a_row(of_a_photo(pipe)).save(HERE / "photo-edit.jpg", quality=QUALITY)


if __name__ == "__main__":
    make()

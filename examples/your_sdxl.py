"""A large model: its capture's size before the run, steps to disk, maps of words that cover all steps."""

from __future__ import annotations

from pathlib import Path
from shutil import rmtree

import torch

import attnscope
from attnscope.testing import tiny_sdxl

MODEL = None  # a tiny SDXL. Yours: "stabilityai/stable-diffusion-xl-base-1.0", a folder, a .safetensors file
DTYPE = "float32"  # "float16" on a GPU
PROMPT = "a yellow sun and a red house on grass"
WORDS = ["sun", "house", "grass"]
HEIGHT, WIDTH = 256, 256  # of SDXL: 1024 and 1024
STEPS, SEED, GUIDANCE = 10, 5, 3.0
FOLDER = Path("your-sdxl")


def main() -> None:
    """Say what a capture takes, run with every third step on disk, and write the words' maps."""
    FOLDER.mkdir(exist_ok=True)
    pipe = tiny_sdxl() if MODEL is None else attnscope.load_pipeline(MODEL, dtype=DTYPE)
    for policy in attnscope.estimate(pipe, steps=STEPS, size=(HEIGHT, WIDTH)):
        print(f"{policy.run_bytes / 1e9:8.3f} GB  {policy.name}: {policy.call}")

    written = [FOLDER / "run.trace", FOLDER / "picture.png"]
    rmtree(written[0], ignore_errors=True)  # of the run before
    keep = {"words": attnscope.Reduced("cross")}
    with attnscope.capture(pipe, folder=written[0], steps=slice(None, None, 3), keep=keep) as trace:
        picture = pipe(
            PROMPT,  # prompt_2= is for the second text encoder alone
            height=HEIGHT,
            width=WIDTH,
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            generator=torch.Generator().manual_seed(SEED),
        ).images[0]
    picture.save(written[1])
    for heat in attnscope.heat_maps(trace, WORDS, reduced="words"):
        written.append(heat.save(FOLDER / f"{heat.word}.png", overwrite=True))
    for path in written:
        print("wrote", path.as_posix())


if __name__ == "__main__":
    main()

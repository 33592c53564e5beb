"""A picture with the heat map of each of some words, where one place looks, and the trace to ask more of later."""

from __future__ import annotations

from pathlib import Path

import torch

import attnscope
from attnscope.pictures.heat_colours import heat_picture

MODEL = "demo"  # or a hub id, a folder, a .safetensors file
PROMPT = "a white boat and a pink balloon on the sea under the sky"
WORDS = ["boat", "balloon", "pink", "sea"]
PLACE_YX = (0.35, 0.72)  # shares of height and width
STEPS, SEED, GUIDANCE = 10, 7, 3.0
FOLDER = Path("first-look")


def main() -> None:
    """Make the picture and write what its attention says."""
    FOLDER.mkdir(exist_ok=True)
    pipe = attnscope.load_pipeline(MODEL)
    with attnscope.capture(pipe) as trace:
        noise = torch.Generator().manual_seed(SEED)
        pipe(PROMPT, num_inference_steps=STEPS, guidance_scale=GUIDANCE, generator=noise)
    written = [FOLDER / "picture.png"]
    trace.picture.save(written[0])
    for heat in attnscope.heat_maps(trace, WORDS):
        written.append(heat.save(FOLDER / f"{heat.word}.png", overwrite=True))
    looks_at = attnscope.places.box_map(
        trace, attnscope.places.View(), attnscope.places.Box.of_place(*PLACE_YX)
    )
    written.append(FOLDER / "place.png")
    heat_picture(looks_at).save(written[-1])
    written.append(trace.save(FOLDER / "run.trace", overwrite=True))
    for path in written:
        print("wrote", path.as_posix())


if __name__ == "__main__":
    main()

"""Why a word was ignored, in sentences and a picture, and the same noise again with the word boosted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

import attnscope

MODEL = "demo"  # or a hub id, a folder, a .safetensors file
PROMPT = "a green tree and a pink balloon and a sun on grass"
WORD = "sun"
FACTOR = 2.0
STEPS, SEED, GUIDANCE = 10, 5, 3.0
FOLDER = Path("ignored-word")


def make(pipe: Any) -> Any:
    """A picture, always of the same noise."""
    noise = torch.Generator().manual_seed(SEED)
    return pipe(PROMPT, num_inference_steps=STEPS, guidance_scale=GUIDANCE, generator=noise).images[0]


def main() -> None:
    """Make the picture, explain the word, boost it."""
    FOLDER.mkdir(exist_ok=True)
    pipe = attnscope.load_pipeline(MODEL)
    with attnscope.capture(pipe) as trace:
        picture = make(pipe)
    explanation = attnscope.explain(trace, WORD)
    print(explanation)
    (FOLDER / "explanation.txt").write_text(explanation.text() + "\n", "utf-8")
    with attnscope.edit(pipe, attnscope.Reweight(WORD, FACTOR)):
        boosted = make(pipe)
    picture.save(FOLDER / "picture.png")
    attnscope.heat_map(trace, WORD).overlay().save(FOLDER / f"{WORD}.png")
    boosted.save(FOLDER / "boosted.png")
    for name in ("explanation.txt", "picture.png", f"{WORD}.png", "boosted.png"):
        print("wrote", (FOLDER / name).as_posix())


if __name__ == "__main__":
    main()

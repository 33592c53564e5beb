"""One noise, several edits: a word boosted, words that change places, prompt-to-prompt with another word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

import attnscope

MODEL = "demo"  # or a hub id, a folder, a .safetensors file
PROMPT = "a red house and a blue tree on snow under a night sky"
OTHER = PROMPT.replace("night", "sunset")
LEFT, RIGHT = (0, 0, 1, 0.5), (0, 0.55, 1, 1)  # top, left, bottom, right, in shares of the picture
CALL = {"num_inference_steps": 10, "guidance_scale": 3.0}
SEED = 5
FOLDER = Path("edit-attention")

EDITS = {
    "tree-boosted": [attnscope.Reweight("tree", 3.0)],
    "swapped": [attnscope.Region("house", LEFT), attnscope.Region("tree", RIGHT)],
}


def edited(pipe: Any, edits: list[Any]) -> Any:
    """The picture with edits, always of the same noise."""
    with attnscope.edit(pipe, *edits):
        return pipe(PROMPT, generator=torch.Generator().manual_seed(SEED), **CALL).images[0]


def main() -> None:
    """Make all pictures."""
    FOLDER.mkdir(exist_ok=True)
    pipe = attnscope.load_pipeline(MODEL)
    pictures = {name: edited(pipe, edits) for name, edits in EDITS.items()}
    made = attnscope.prompt_to_prompt(pipe, [PROMPT, OTHER], self_steps=0.5, generator=SEED, **CALL)
    pictures["plain"], pictures["other-word"] = made.images
    for name, picture in pictures.items():
        picture.save(FOLDER / f"{name}.png")
        print("wrote", (FOLDER / f"{name}.png").as_posix())


if __name__ == "__main__":
    main()

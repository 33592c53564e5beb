"""Make the pictures of docs/views.md: a difference, heads and blocks, a word over the steps.

python docs/images/make_views_images.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from PIL import Image

import attnscope
from attnscope.pictures.sheets import Tile, tile_row

PROMPT, STEPS = "a red house on grass under the sun", 10
FOLDER = Path(__file__).parent


def run(pipe: object, **keep: object) -> attnscope.Trace:
    with attnscope.capture(pipe, kind="cross", **keep) as trace:
        pipe(
            PROMPT, num_inference_steps=STEPS, guidance_scale=3.0, generator=torch.Generator().manual_seed(0)
        )
    return trace


def make() -> None:
    pipe = attnscope.load_pipeline("demo")
    pipe.set_progress_bar_config(disable=True)
    trace = run(pipe, previews=True)
    with attnscope.edit(pipe, attnscope.Reweight("sun", 3.0)):
        edited = run(pipe)
    house, sun = attnscope.heat_maps(trace, ["house", "sun"])
    after = attnscope.heat_map(edited, "sun")
    tiles = [
        Tile(trace.picture, "the picture"),
        Tile(attnscope.difference(house, sun).overlay(), "house less sun"),
        Tile(attnscope.difference(after, sun).overlay(), "sun, after less before", 'Reweight("sun", 3.0)'),
    ]
    tile_row(tiles).save(FOLDER / "difference.png", optimize=True)
    attnscope.head_grid(trace, "house", blocks=[4, 7, 11, 14, 16]).save(FOLDER / "heads.png", overwrite=True)
    with tempfile.TemporaryDirectory() as folder:
        some = [0, 1, 2, 4, 9]
        moving = attnscope.animate(trace, "house", Path(folder) / "steps.gif", steps=some, seconds=0.4)
        (FOLDER / "steps.gif").write_bytes(moving.read_bytes())
    shown = [(trace.preview(step), f"step {step}") for step in (0, 1, 2, 4, 6, 9)]
    larger = [Tile(each.resize((256, 256), Image.Resampling.LANCZOS), name) for each, name in shown]
    tile_row(larger, tile_px=128).save(FOLDER / "previews.png", optimize=True)


if __name__ == "__main__":
    make()

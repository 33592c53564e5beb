"""Makes open-words.png, the picture of docs/open-words.md: `python docs/images/make_open_words.py`."""

from __future__ import annotations

from pathlib import Path

import torch

import attnscope
from attnscope.pictures.sheets import Tile, tile_row

WORDS = ("boat", "sea", "sand", "sky")
CONTEXT = "a boat on the sea and sand under the sky"

pipe = attnscope.load_pipeline("demo")
pipe.set_progress_bar_config(disable=True)
with attnscope.capture(pipe, kind="cross", open_words=True) as trace:
    pipe("a boat", num_inference_steps=20, guidance_scale=3.0, generator=torch.Generator().manual_seed(2))
maps = attnscope.heat_maps(trace, WORDS, pipe=pipe, open_words=True, context=CONTEXT)
tiles = [Tile(trace.picture, "the picture", 'its prompt: "a boat"')]
tiles += [Tile(heat.overlay(), heat.word, f"at most {heat.array.max():.2f}") for heat in maps]
tile_row(tiles, tile_px=192).save(Path(__file__).parent / "open-words.png", optimize=True)

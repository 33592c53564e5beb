"""Make the pictures of docs/attention.md and docs/diffseg-steps.md, on the demo model.

python docs/images/make_concepts.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

import attnscope
from attnscope.demo.scenes import scene
from attnscope.diffseg import anchor_points, merge, segment_map
from attnscope.pictures.heat_colours import heat_picture
from attnscope.pictures.overlays import overlay_labels
from attnscope.pictures.sheets import Tile, tile_row
from attnscope.places import Box, View, box_map

PROMPT, NEGATIVE, STEPS = "a red house and a green tree on the grass", "a star", 20
PLACE = (0.66, 0.72)  # on the house, from the top and from the left
BLOCKS = (16, 13, 10, 7)  # the last one of each grid, the finest first
SCENE, TAU = 40_003, 0.5
FOLDER = Path(__file__).parent


def larger(values: Any, side: int = 256) -> Image.Image:
    """Numbers as colours, without any smoothing."""
    picture = heat_picture(np.asarray(values, dtype=np.float32))
    return picture.resize((side, side), Image.Resampling.NEAREST)


def marked(picture: Image.Image) -> Image.Image:
    """A picture with a ring about the place that asks."""
    picture = picture.copy()
    y, x = PLACE[0] * picture.height, PLACE[1] * picture.width
    ImageDraw.Draw(picture).ellipse((x - 8, y - 8, x + 8, y + 8), outline="white", width=3)
    return picture


def kinds(trace: attnscope.Trace) -> Iterator[Tile]:
    """Where a place looks, and where a word landed, on each grid."""
    assert trace.picture is not None
    yield Tile(marked(trace.picture), "the place that asks")
    for block in BLOCKS:
        found = box_map(trace, View(block=block), Box(*PLACE, *PLACE))
        yield Tile(larger(found), f"self, block {block}", f"{len(found)}x{len(found)}")
    yield Tile(trace.picture, "the word: house")
    for block in BLOCKS:
        layer = next(one for one in trace.layers if one.block == block and one.kind == "cross")
        shares = trace.probabilities(layer=layer, token="house", branch="cond", mean=("step", "head"))
        yield Tile(larger(shares.view(*layer.grid)), f"cross, block {block}", "{}x{}".format(*layer.grid))


def probability(trace: attnscope.Trace) -> Iterator[Tile]:
    """P of one head as a matrix, and one row of it as a map; a column of cross-attention as a map."""
    choice = {"block": 13, "step": 12, "branch": "cond"}
    grid = next(layer.grid for layer in trace.layers if layer.block == 13)
    at = int(PLACE[0] * grid.height) * grid.width + int(PLACE[1] * grid.width)
    choice["image"] = 0
    own = trace.probabilities(kind="self", head=2, **choice)
    cross = trace.probabilities(kind="cross", mean="head", **choice)
    yield Tile(larger(own**0.5), "P, self-attention", f"{grid.places} queries x {grid.places} keys")
    yield Tile(larger((own[at] ** 0.5).view(*grid)), "a row of it", "where one place looks")
    yield Tile(larger(cross[:, :16] ** 0.5), "P, cross-attention", f"{grid.places} queries x 16 of 77 tokens")
    column = trace.probabilities(kind="cross", token="house", mean="head", **choice)
    yield Tile(larger(column.view(*grid)), "a column of it", "where one word landed")


def guidance(trace: attnscope.Trace) -> Iterator[Tile]:
    """The two halves of a pass with guidance."""
    yield Tile(trace.picture, "the picture")
    yield Tile(attnscope.heat_map(trace, "house").overlay(), "house, in the prompt", "branch cond")
    yield Tile(
        attnscope.heat_map(trace, "star", branch="uncond").overlay(),
        "star, in the negative prompt",
        "branch uncond",
    )


def diffseg(pipe: Any) -> Iterator[Tile]:
    """From attention to segments."""
    photo = scene(SCENE).pil_image
    found = attnscope.segment(photo, pipe, thresholds=TAU)
    aggregated = found.aggregated
    height, width = aggregated.shape[:2]
    yield Tile(photo, "the photo")
    yield Tile(
        larger(aggregated[int(PLACE[0] * height), int(PLACE[1] * width)]),
        "1  aggregated",
        "the map of one place",
    )
    dots = np.zeros((height, width))
    for row, column in anchor_points((height, width)).tolist():
        dots[row, column] = 1
    yield Tile(larger(dots), "2  anchors", f"{int(dots.sum())} of {height * width} places")
    for passes in (1, 2, 3):
        maps = merge(aggregated, [TAU] * passes)
        labels = segment_map(maps, found.labels.shape).numpy().astype(np.int32)
        yield Tile(overlay_labels(photo, labels), f"3  after pass {passes}", f"{len(maps)} maps")


def main() -> None:
    pipe = attnscope.load_pipeline("demo")
    pipe.set_progress_bar_config(disable=True)
    with attnscope.capture(pipe) as trace:
        pipe(
            PROMPT,
            negative_prompt=NEGATIVE,
            num_inference_steps=STEPS,
            guidance_scale=3.0,
            generator=torch.Generator().manual_seed(3),
        )
    sheets = {
        "kinds": (kinds(trace), 5),
        "probability": (probability(trace), 4),
        "guidance": (guidance(trace), 3),
        "diffseg": (diffseg(pipe), 3),
    }
    for name, (tiles, columns) in sheets.items():
        tile_row(list(tiles), columns=columns).save(FOLDER / f"concept-{name}.png", optimize=True)


if __name__ == "__main__":
    main()

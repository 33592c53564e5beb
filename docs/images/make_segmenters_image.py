"""Make the picture of docs/segmenters.md: two scenes, their edges by attention, and their segments in three ways.

python docs/images/make_segmenters_image.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import attnscope
from attnscope.demo.scenes import scene
from attnscope.diffseg import segment_map
from attnscope.ncut import normalized_cut
from attnscope.pictures.maps import resize_maps
from attnscope.pictures.overlays import overlay_labels
from attnscope.pictures.sheets import Tile, tile_row
from attnscope.segmentation.edges import edges
from attnscope.segmentation.picture_edges import fit_to_picture

SEEDS = 40_001, 40_002


def tiles(pipe: Any, seed: int) -> Iterator[Tile]:
    photo = scene(seed).pil_image
    found = attnscope.segment(photo, pipe)
    size_hw = found.labels.shape
    between = resize_maps(edges(found.aggregated), size_hw)
    maps = normalized_cut(found.aggregated)
    labels = {
        "DiffSeg": found.labels,
        "normalised cuts": segment_map(maps, size_hw).numpy(),
        "fitted to the picture": fit_to_picture(maps, photo).argmax(0).numpy(),
    }
    yield Tile(photo, "the photo")
    shades = (between / between.max() * 255).numpy().astype(np.uint8)
    yield Tile(Image.fromarray(shades).convert("RGB"), "edges")
    for name, numbers in labels.items():
        yield Tile(overlay_labels(photo, numbers.astype(np.int32)), name)


def main() -> None:
    pipe = attnscope.load_pipeline("demo")
    sheet = tile_row([tile for seed in SEEDS for tile in tiles(pipe, seed)], columns=5)
    sheet.save(Path(__file__).with_name("segmenters.png"), optimize=True)


if __name__ == "__main__":
    main()

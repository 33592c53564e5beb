"""Make the picture of docs/photos.md: a scene, and where the words of its caption are in it.

python docs/images/make_photo_image.py
"""

from __future__ import annotations

from pathlib import Path

import attnscope
from attnscope.cli.run import word_tile
from attnscope.demo.scenes import scene
from attnscope.pictures.sheets import Tile, tile_row

SEED, WORDS = 4, ("green heart", "pink tree", "balloon", "brick wall", "grass")


def main() -> None:
    pipe, photo = attnscope.load_pipeline("demo"), scene(SEED)
    trace = attnscope.read_photo(pipe, photo.pil_image, photo.caption)
    maps = attnscope.heat_maps(trace, WORDS)
    tiles = [Tile(trace.picture, "the photo"), *map(word_tile, maps)]
    tile_row(tiles, columns=3).save(Path(__file__).with_name("photo.png"), optimize=True)


if __name__ == "__main__":
    main()

"""Segments as files: pictures and their facts, under one name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from attnscope.files import check_free, whole_files
from attnscope.pictures.strips import Strips
from attnscope.pictures.writing import encode_picture

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".json")
"""Taken off a name that is given: the picture that was segmented may be named."""


def write_files(
    name: Path,
    pictures: Mapping[str, Callable[[], Image.Image | Strips]],
    facts: Mapping[str, Any],
    *,
    overwrite: bool,
) -> list[Path]:
    """Write NAME + ending for each picture and NAME.json, all or, where one of them fails, none; returns their paths.

    Args:
        name: NAME, with or without a folder.
        pictures: What makes each picture, by ending.
        facts: Plain values for JSON.
        overwrite: Write over files that are there already.

    Raises:
        OutputError: One of the files is there already, or can't be written.
    """
    stem = name.with_suffix("") if name.suffix.lower() in SUFFIXES else name
    paths = [stem.with_name(stem.name + ending) for ending in (*pictures, ".json")]
    check_free(paths, overwrite=overwrite)
    with whole_files(paths) as partials:
        for partial, picture in zip(partials, pictures.values(), strict=False):
            encode_picture(picture(), partial)
        partials[-1].write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return paths

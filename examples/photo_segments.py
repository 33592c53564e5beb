"""The segments of a photo by several methods, with names. Without a photo of yours a drawing is taken."""

from __future__ import annotations

from pathlib import Path

import attnscope
from attnscope.demo.scenes import scene

MODEL = "demo"  # or a hub id, a folder, a .safetensors file
PHOTO = None  # or the name of a file
LABELS = ["boat", "moon", "cloud", "sea", "sky"]
FOLDER = Path("photo-segments")


def main() -> None:
    """Look at the photo once and write what each method finds."""
    FOLDER.mkdir(exist_ok=True)
    photo = scene(12).pil_image if PHOTO is None else PHOTO
    pipe = attnscope.load_pipeline(MODEL)
    found = attnscope.segment(photo, pipe, labels=LABELS)
    by_method = {
        "diffseg": found,
        "auto": found.again("auto"),
        "cuts": found.again(method="ncut"),
        "cuts-fitted": found.again(method="ncut", fit=True),
    }
    for name, result in by_method.items():
        print(f"{name}: {result}")
        for path in result.save(FOLDER / name, overwrite=True):
            print("wrote", path.as_posix())


if __name__ == "__main__":
    main()

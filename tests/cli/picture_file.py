from pathlib import Path

from PIL import Image


def read(path: Path) -> Image.Image:
    """A picture as it is in its file, which is closed again."""
    with Image.open(path) as image:
        return image.copy()

"""Pictures as files, whole or not at all."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from attnscope.files import whole_file


def write_picture(picture: Image.Image, path: Path) -> None:
    """Write a picture as its name's ending says.

    It is made in memory: some encoders take a write that was cut short by a full disk for a whole one.

    Args:
        picture: The picture.
        path: Where to write. A file that is there is replaced.

    Raises:
        OutputError: The file can't be written.
    """
    made = io.BytesIO()
    picture.save(made, format=Image.registered_extensions()[path.suffix.lower()])
    with whole_file(path) as partial:
        partial.write_bytes(made.getbuffer())

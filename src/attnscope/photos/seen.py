"""A photo as people see it, and as a model does."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from PIL.Image import Image
from torch import Tensor

from attnscope.photos.latents import input_size, photo_latent, photo_tensor
from attnscope.pictures.reading import Picture, decoded_picture
from attnscope.pictures.sizes import resized, size_hw
from attnscope.pictures.strips import LARGE_PIXELS
from attnscope.trace.trace import Trace


class SeenPhoto(NamedTuple):
    """A photo, upright.

    Attributes:
        picture: For people: its own size, or what has `LARGE_PIXELS` pixels.
        input: At the size at which the model sees it.
        latent: What the model sees, without noise.
    """

    picture: Image
    input: Image
    latent: Tensor


def seen_photo(pipe: Any, picture: Picture, *, crop: bool = False) -> SeenPhoto:
    """A photo as a pipeline's model sees it: its own area, the photo's aspect ratio.

    Args:
        pipe: A pipeline that can take a photo.
        picture: A path, a PIL image or an array.
        crop: Take its middle square.

    Raises:
        ImageError: The picture can't be read.
    """
    photo = decoded_picture(picture)
    photo = photo.middle_square() if crop else photo
    seen_hw = input_size(pipe, photo.size_hw, crop=crop)
    excess = math.sqrt(math.prod(photo.size_hw) / LARGE_PIXELS)
    if excess > 1:
        height, width = photo.size_hw
        shown = photo.resized((max(1, int(height / excess)), max(1, int(width / excess))))
        seen = photo.resized(seen_hw)
    else:
        whole = photo.whole()
        shown, seen = whole.copy() if whole is picture else whole, resized(whole, seen_hw)
    return SeenPhoto(shown, seen, photo_latent(pipe, photo_tensor(seen, seen_hw)))


def show(trace: Trace, picture: Image | None) -> None:
    """Give a trace the photo as its picture, before the capture ends and what is on disk is finished.

    Args:
        trace: Of one pass.
        picture: The photo, None for none.
    """
    if picture is not None:
        trace.run.pictures, trace.run.image_size_hw = [picture], size_hw(picture)

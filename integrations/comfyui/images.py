"""ComfyUI's IMAGE (batch, height, width, channel; 0..1) and MASK (batch, height, width), and Pillow's pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from attnscope.errors import ParameterError


@contextmanager
def plain_tensors() -> Iterator[None]:
    """ComfyUI runs nodes in inference mode, whose tensors other threads may not change: leave it for a while."""
    with torch.inference_mode(False), torch.no_grad():
        yield


def kept_on_cpu(tensor: Tensor) -> Tensor:
    """A float32 copy of a tensor in the host's memory, outside of inference mode.

    Args:
        tensor: Any.
    """
    with plain_tensors():
        return torch.empty(tensor.shape, dtype=torch.float32).copy_(tensor.detach())


def pictures_of(image: Tensor) -> list[Image.Image]:
    """The pictures of an IMAGE.

    Args:
        image: It; colours beyond RGB are left out.

    Raises:
        ParameterError: It has another shape.
    """
    if image.ndim != 4 or image.shape[-1] < 3:
        raise ParameterError(
            f"image has the shape {tuple(image.shape)}; expected (batch, height, width, 3 or 4): connect an IMAGE"
        )
    pixels = image[..., :3].detach().float().cpu().clamp(0, 1).mul(255).round().to(torch.uint8).numpy()
    return [Image.fromarray(np.ascontiguousarray(each)) for each in pixels]


def image_of(pictures: Sequence[Image.Image]) -> Tensor:
    """An IMAGE of pictures of one size.

    Args:
        pictures: At least one.
    """
    arrays = [np.asarray(picture.convert("RGB"), dtype=np.float32) / 255 for picture in pictures]
    return torch.from_numpy(np.stack(arrays))


def mask_of(maps: Sequence[np.ndarray]) -> Tensor:
    """A MASK of maps of one size.

    Args:
        maps: At least one, bool or 0..1.
    """
    return torch.from_numpy(np.stack([np.asarray(each, dtype=np.float32) for each in maps]))

"""Pictures one after the other, as a GIF or an MP4."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from PIL import Image

from attnscope.errors import ParameterError, missing_extra

ENDINGS = (".gif", ".mp4")
COLOURS = 256
_LOOKED_AT, _LOOKED_AT_PX = 24, 128  # for the colours of a GIF
LEAST_SECONDS, MOST_SECONDS = 0.02, 60.0
"""Viewers show GIFs no faster than 50 pictures a second."""


def check_ending(name: str, ending: str) -> None:
    """Refuse what can't be written, before anything is computed.

    Args:
        name: The file, for messages.
        ending: Its ending, in lower case.

    Raises:
        ParameterError: It is neither .gif nor .mp4.
        MissingExtraError: There is nothing here that makes an MP4.
    """
    if ending not in ENDINGS:
        raise ParameterError(f"{name}: expected a name that ends in .gif or .mp4")
    if ending == ".mp4":
        _av()


def check_seconds(seconds: float, name: str = "seconds") -> None:
    """Refuse a time that a file can't hold or nobody can see.

    Args:
        seconds: How long each picture stands.
        name: What it is called in messages.

    Raises:
        ParameterError: It is outside 0.02 to 60.
    """
    if not LEAST_SECONDS <= seconds <= MOST_SECONDS:
        raise ParameterError(
            f"{name} is {seconds:g}; expected {LEAST_SECONDS:g} to {MOST_SECONDS:g} for each step"
        )


def gif_bytes(frames: Sequence[Image.Image], seconds: float) -> bytes:
    """A GIF that goes round and round, all frames in the same 256 colours, which are dithered.

    Args:
        frames: RGB pictures of one size.
        seconds: How long each of them stands, in hundredths; the last one stands a second longer.
    """
    colours = _common_colours(frames)
    first, *others = [frame.quantize(palette=colours, dither=Image.Dither.FLOYDSTEINBERG) for frame in frames]
    each = round(seconds * 100) * 10
    made = io.BytesIO()
    first.save(
        made,
        format="GIF",
        save_all=True,
        append_images=others,
        duration=[*[each] * len(others), each + 1000],
        loop=0,
    )
    return made.getvalue()


def mp4_bytes(frames: Sequence[Image.Image], seconds: float) -> bytes:
    """An MP4 with H.264, which browsers, phones and slides play.

    Args:
        frames: RGB pictures of one size. A side of odd length gets a row or column of its own border more.
        seconds: How long each of them stands; the last one stands a second longer.

    Raises:
        MissingExtraError: PyAV is not installed.
    """
    av = _av()
    rate = Fraction(1 / seconds).limit_denominator(1000)
    still = max(1, round(1 / seconds))
    made = io.BytesIO()
    with av.open(made, "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=rate, options={"crf": "18", "preset": "medium"})
        pixels = [_even(frame) for frame in frames]
        stream.height, stream.width = pixels[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for picture in (*pixels, *pixels[-1:] * still):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode(None))
    return made.getvalue()


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise missing_extra("an MP4", "PyAV", "video", "; a GIF needs nothing, name it .gif") from error
    return av


def _common_colours(frames: Sequence[Image.Image]) -> Image.Image:
    """A picture whose palette fits all frames: small copies of some of them side by side."""
    some = [*frames[:: max(1, len(frames) // _LOOKED_AT)], frames[-1]]
    scale = min(1.0, _LOOKED_AT_PX / max(frames[0].size))
    size = max(1, round(frames[0].width * scale)), max(1, round(frames[0].height * scale))
    row = Image.new("RGB", (size[0] * len(some), size[1]))
    for at, frame in enumerate(some):
        row.paste(frame.resize(size, Image.Resampling.NEAREST), (at * size[0], 0))
    return row.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, kmeans=3)


def _even(frame: Image.Image) -> np.ndarray:
    pixels = np.asarray(frame.convert("RGB"))
    return np.pad(pixels, ((0, frame.height % 2), (0, frame.width % 2), (0, 0)), mode="edge")

"""Whatever is called a picture: a right result or one ImageError, in bounded time and memory."""

from __future__ import annotations

import os
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from attack import mutations
from attnscope.errors import ImageError
from attnscope.pictures.reading import load_picture

pytestmark = pytest.mark.attack

SECONDS_EACH = 10
PEAK_MB = 3000  # torch, and the largest picture of 160 million pixels on its way to RGB


def peak_mb() -> int:
    try:
        return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024
    except OSError:
        return 0


@pytest.fixture(autouse=True)
def warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_whole_pictures_of_every_format_are_read(attack):
    read = {kind: mutations.read(contents) for kind, contents in mutations.whole_files() if kind != "EPS"}
    for result in read.values():
        attack.count(result)
    assert len(read) > 18
    assert set(read.values()) == {"right"}


def test_mutated_pictures_are_right_or_refused(attack):
    before = peak_mb()
    for number in attack.tries(2000):
        began = time.monotonic()
        result = mutations.read(mutations.mutated(number, seed=13)[2])
        assert result in ("right", "refused"), f"mutated picture {number} of seed 13: {result}"
        assert time.monotonic() - began < SECONDS_EACH, f"mutated picture {number} of seed 13"
        attack.count(result)
    assert before > PEAK_MB or peak_mb() < PEAK_MB


DTYPES = (
    "u1", "u2", "u4", "i1", "i8", ">u2", "f2", "f4", "f8", "g", "c8", "?", "S1", "U3", "O", "M8[s]", "m8[s]", "V4",
    [("r", "u1")],
)  # fmt: skip
MODES = (
    "1", "L", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "LA", "PA", "La", "RGBa", "I;16",
)  # fmt: skip
PARTS = (
    "x" * 300, "y" * 5000, "a\0b", "\ud800", "\x1b]0;x\x07", "..", "", "-", "~", "con", "http://x/y.png", "%s",
    "é" * 200,
)  # fmt: skip


def odd_array(random):
    shape = tuple(random.choice((0, 1, 3, 4, 8, 20, 21)) for _ in range(random.randrange(6)))
    array = np.zeros(shape, dtype=random.choice(DTYPES))
    if array.dtype.kind == "f" and array.size:
        first = random.choice((0, 0.5, 1, 1.001, -1, 255, 60_000, np.nan, np.inf))
        array[(0,) * array.ndim] = first
    if random.random() < 0.1:
        return np.broadcast_to(array[..., None], (*shape, 10**9))  # claims what would never fit
    return random.choice(
        (lambda: array, lambda: np.ma.array(array, mask=random.random() < 0.5), lambda: array.T)
    )()


def odd_tensor(random):
    types = (
        torch.uint8,
        torch.float16,
        torch.bfloat16,
        torch.float32,
        torch.int64,
        torch.bool,
        torch.complex64,
    )
    shape = random.choice(((20, 20), (20, 20, 3), (3, 20, 20), (1, 20, 20, 3), (), (0, 0)))
    tensor = torch.zeros(shape, dtype=random.choice(types), device=random.choice(("cpu", "cpu", "meta")))
    return tensor.to_sparse() if tensor.ndim and not tensor.is_meta and random.random() < 0.1 else tensor


def odd_image(random):
    image = Image.new(random.choice(MODES), (random.choice((1, 8, 30, 400)), random.choice((7, 8, 30))))
    image.info |= random.choice(
        ({}, {"transparency": 0}, {"transparency": b"\0\1"}, {"exif": b"II*\0"}, {"exif": 5})
    )
    if random.random() < 0.1:
        image.close()
    return image


def odd_name(random, folder):
    name = "/".join(random.choice(PARTS) for _ in range(random.randrange(1, 40)))
    return random.choice(
        (name, str(folder / name[:2000]), os.fsencode("x"), folder, "/dev/zero", "/dev/full")
    )


def test_odd_things_are_right_or_refused_in_one_line(attack, tmp_path):
    for _ in attack.tries(1500):
        random = attack.random
        kind = random.choice((odd_array, odd_tensor, odd_image, odd_name))
        source = odd_name(random, tmp_path) if kind is odd_name else kind(random)
        attack.count(outcome(source))


def outcome(source):
    try:
        picture = load_picture(source)
    except ImageError as error:
        sentence = str(error)
    else:
        sentence = ""
        assert picture.mode == "RGB"
    assert "\n" not in sentence
    assert len(sentence) < 700
    assert sentence.isprintable()
    return "refused" if sentence else "right"

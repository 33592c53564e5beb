"""Large photos are segmented in little memory, with the results of small ones."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import attnscope
from attnscope.demo.scenes import scene
from attnscope.segmentation import label_map, photo

PEAK_MB = 1500
PROGRAM = """
import json, resource, sys
from pathlib import Path
import attnscope
pipe = attnscope.load_pipeline("demo", device="cpu")
result = attnscope.segment(sys.argv[1], pipe, labels="tree, sky", preset=sys.argv[3])
paths = result.save(sys.argv[2])
peak = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
print(json.dumps({"mb": int(peak) // 1024, "shape": result.labels.shape, "files": len(paths)}))
"""


@pytest.fixture(scope="module")
def pipe():
    return attnscope.load_pipeline("demo", device="cpu")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    where = tmp_path_factory.mktemp("photos") / "scene.png"
    scene(3).pil_image.save(where)
    return where


@pytest.mark.parametrize("crop", [None, True])
def test_a_large_photo_has_the_labels_of_a_small_one(pipe, path, monkeypatch, crop):
    small = attnscope.segment(path, pipe, labels=["tree", "sky"], crop=crop)
    monkeypatch.setattr(photo, "LARGE_PIXELS", 100)
    monkeypatch.setattr(label_map, "LARGE_PIXELS", 100)
    large = attnscope.segment(path, pipe, labels=["tree", "sky"], crop=crop)
    assert large == small
    assert (small.labels.dtype, large.labels.dtype) == (np.int32, np.uint8)
    assert large.evidence.picture is None
    assert large.has_picture
    np.testing.assert_array_equal(np.asarray(large.picture), np.asarray(small.picture))
    np.testing.assert_array_equal(np.asarray(large.overlay()), np.asarray(small.overlay()))
    np.testing.assert_array_equal(large.scores, small.scores)
    assert large.to_dict() == small.to_dict()
    assert large.again(thresholds=0.3) == small.again(thresholds=0.3)


def test_an_open_file_is_read_once(pipe, path, monkeypatch):
    monkeypatch.setattr(photo, "LARGE_PIXELS", 100)
    with path.open("rb") as file:
        segmented = attnscope.segment(file, pipe)
    assert segmented.overlay().size[::-1] == segmented.labels.shape


def save_blocks(path, mode, **settings):
    """156 megapixels, which is about the most that is read."""
    colours = np.random.default_rng(0).integers(0, 256, (13, 12, 4)).astype(np.uint8)
    large = Image.fromarray(colours).convert(mode).resize((12_000, 13_000), Image.Resampling.NEAREST)
    large.save(path, **settings)


def sideways():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("name", "mode", "settings", "preset", "shape"),
    [
        ("large.jpg", "RGB", {"exif": sideways()}, "paper", [12_000, 13_000]),
        pytest.param(
            *("large.png", "RGBA", {"compress_level": 1}, "paper", [13_000, 12_000]),
            marks=pytest.mark.thorough,
        ),
        pytest.param(*("large.jpg", "RGB", {}, "reference", [12_000, 12_000]), marks=pytest.mark.thorough),
    ],
)
def test_the_largest_photo_takes_bounded_memory(tmp_path, name, mode, settings, preset, shape):
    save_blocks(tmp_path / name, mode, **settings)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / name), str(tmp_path / "result"), preset]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    facts = json.loads(done.stdout.splitlines()[-1])
    assert facts["shape"] == shape
    assert facts["files"] == 3
    assert facts["mb"] < PEAK_MB

"""The files of one segmented picture: all of them, or what was there before."""

import errno

import pytest
from PIL import Image

from attnscope.errors import OutputError
from attnscope.segmentation.files import write_files


def full_disk():
    raise OSError(errno.ENOSPC, "No space left on device")


def picture():
    return Image.new("RGB", (9, 9))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_disk_that_fills_half_way_leaves_what_was_there(tmp_path):
    write_files(
        tmp_path / "x", {".labels.png": picture, ".overlay.png": picture}, {"run": 1}, overwrite=False
    )
    before = contents(tmp_path)
    assert sorted(before) == ["x.json", "x.labels.png", "x.overlay.png"]
    new = {".labels.png": lambda: Image.new("RGB", (8, 8)), ".overlay.png": full_disk}
    with pytest.raises(OutputError, match=r"No space left on device; choose another place or make room"):
        write_files(tmp_path / "x", new, {"run": 2}, overwrite=True)
    assert contents(tmp_path) == before


def test_a_disk_that_fills_half_way_leaves_nothing_new(tmp_path):
    with pytest.raises(OutputError):
        write_files(
            tmp_path / "new" / "x", {".labels.png": picture, ".overlay.png": full_disk}, {}, overwrite=False
        )
    assert list(tmp_path.iterdir()) == []

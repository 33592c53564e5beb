"""Previews in a trace's folder: what is written comes back, damage is found, other traces are as before."""

import json

import numpy as np
import pytest
from PIL import Image
from trace_damage import edit_pass, verified

import attnscope
from attnscope.errors import TraceFormatError
from attnscope.testing.made_traces import made_trace
from attnscope.trace.files import files_of

NAME = "previews-00.png"


@pytest.fixture
def kept():
    trace = made_trace(images=2)
    rng = np.random.default_rng(0)
    trace.run.previews = {
        step: [Image.fromarray(rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)) for _ in range(2)]
        for step in (0, 2, 3)
    }
    return trace


@pytest.fixture
def folder(kept, tmp_path):
    return kept.save(tmp_path / "run.trace")


def test_what_is_written_comes_back(kept, folder, tmp_path):
    again = attnscope.load_trace(folder)
    assert list(again.previews) == [0, 2, 3]
    assert dict(again.previews) == kept.previews
    assert again.preview(2, image=1) == kept.preview(2, image=1)
    assert 1 not in again.previews
    assert {folder / NAME, folder / "previews-01.png"} <= set(files_of(again))
    copy = attnscope.load_trace(again.save(tmp_path / "copy.trace"))
    assert dict(copy.previews) == kept.previews
    assert list(verified(folder))


def test_a_trace_without_them_is_as_it_was(tmp_path):
    folder = made_trace().save(tmp_path / "run.trace")
    assert "previews" not in json.loads((folder / "manifest.json").read_text())["passes"][0]
    assert attnscope.load_trace(folder).previews == {}


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (lambda folder: (folder / NAME).unlink(), f"{NAME}.*missing"),
        (lambda folder: (folder / NAME).write_bytes(b"GIF89a"), f"{NAME}.*no PNG"),
        (lambda folder: Image.new("RGB", (6, 13)).save(folder / NAME), "13 rows are not 3 previews"),
        (lambda folder: entry(folder, steps=[0, 0, 3]), "previews"),
        (lambda folder: entry(folder, steps=[3, 2, 0]), "previews"),
        (lambda folder: entry(folder, steps=[]), "previews"),
        (lambda folder: entry(folder, steps=[0, 2, True]), "true|True"),
        (lambda folder: entry(folder, steps=list(range(20_000))), "previews of 20000 steps"),
        (lambda folder: entry(folder, digests=[]), "previews"),
        (lambda folder: entry(folder, digests=[1] * 5000), "5000 images"),
        (lambda folder: entry(folder, digests=["a", "b"]), "'a'"),
        (lambda folder: entry(folder, more=1), "previews"),
        (lambda folder: edit_pass(folder, lambda data: data.update(previews=[1])), "manifest"),
    ],
)
def test_damage_is_an_error_when_the_trace_is_opened(folder, damage, match):
    damage(folder)
    with pytest.raises(TraceFormatError, match=match):
        attnscope.load_trace(folder, verify=False)


def test_other_bytes_are_found_when_a_preview_is_looked_at(folder):
    Image.new("RGB", (6, 12)).save(folder / NAME)
    trace = attnscope.load_trace(folder)
    with pytest.raises(TraceFormatError, match="its bytes are not those that were written"):
        trace.preview(0)


def entry(folder, **change):
    edit_pass(folder, lambda data: data["previews"].update(change))

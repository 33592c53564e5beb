"""The data inside an exported page, decoded in Python, against the trace."""

from __future__ import annotations

import base64
import json
import re
import zlib
from itertools import pairwise

import numpy as np
import pytest
import torch

from attnscope.errors import OutputError, ParameterError, SelectionError
from attnscope.pictures.overlays import segment_colours
from attnscope.places import Box, View, box_map, token_shares, word_map
from attnscope.testing.made_traces import made_trace
from attnscope.trace.step_rows import PartialMeanWarning
from attnscope.viewer import packing
from attnscope.viewer.export import export_page
from viewer.conftest import picture


def data_of(page):
    text = page.read_text("utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


def unpacked(packed):
    def inflated(text):
        return zlib.decompress(base64.b64decode(text))

    maxima = np.frombuffer(inflated(packed["maxima"]), "<f4")
    levels = np.frombuffer(inflated(packed["levels"]), np.uint8)
    assert levels.max() <= packed["top"]
    return (
        levels.reshape(len(maxima), packed["height"], packed["width"]) * maxima[:, None, None] / packed["top"]
    )


@pytest.fixture(scope="module")
def exported(trace, tmp_path_factory):
    page = export_page(trace, tmp_path_factory.mktemp("page") / "page.html", image=1)
    return data_of(page)


@pytest.mark.parametrize("block", [1, 2, None])
def test_every_place_looks_where_the_trace_says(exported, trace, block):
    packed = exported["places"]["all" if block is None else str(block)]
    rows, columns = packed["grid"]
    for (row, column), found in zip(np.ndindex(rows, columns), unpacked(packed), strict=True):
        expected = box_map(
            trace, View(block, image=1), Box.of_place((row + 0.5) / rows, (column + 0.5) / columns)
        )
        np.testing.assert_allclose(found, expected, atol=expected.max() / 500)


def test_words_and_shares_are_those_of_the_trace(exported, trace):
    for block in (None, 1, 2):
        found = unpacked(exported["words"]["all" if block is None else str(block)])
        expected = [word_map(trace, View(block, image=1), tokens) for tokens in ([1], [2, 3], [0], [4])]
        np.testing.assert_allclose(found, expected, atol=np.max(expected) / 500)
    shares = unpacked(exported["shares"])[-1, 0]
    np.testing.assert_allclose(shares, token_shares(trace, View(image=1), Box.of_place(1, 1)), atol=2e-3)


def test_grids_finer_than_32_are_summed(tmp_path):
    fine = made_trace(grids=((64, 32),), steps=1, heads=1)
    page = data_of(export_page(fine, tmp_path / "page.html"))
    found = unpacked(page["places"]["1"])
    assert found.shape == (32 * 16, 32, 16)
    rows = fine.probabilities(block=1, kind="self", branch="cond", image=0, head=0).view(
        32, 2, 16, 2, 32, 2, 16, 2
    )
    expected = rows.mean((1, 3)).sum((3, 5)).reshape(-1, 32, 16).numpy()
    np.testing.assert_allclose(found, expected, atol=expected.max() / 500)


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.parametrize("grid", [(65, 64), (23, 40), (33, 1)])
def test_grids_that_do_not_divide_are_summed_too(grid, tmp_path):
    odd = made_trace(grids=(grid,), steps=1, heads=1)
    found = unpacked(data_of(export_page(odd, tmp_path / "page.html"))["places"]["1"])
    assert max(found.shape[1:]) <= 32
    np.testing.assert_allclose(found.sum((1, 2)), 1, atol=0.05)
    whole = odd.probabilities(block=1, kind="self", branch="cond", image=0, head=0).view(*grid, *grid)
    factor = -(-max(grid) // 32)
    expected = whole[:factor, :factor, :factor, :factor].sum((2, 3)).mean()
    assert found[0, 0, 0] == pytest.approx(float(expected), abs=float(found[0].max()) / 200)


def test_names_stand_where_segments_are_in_large_pictures(tmp_path):
    large = made_trace()
    large.run.pictures = [picture(1024, 1536)]
    (first, *_) = data_of(export_page(large, tmp_path / "page.html"))["segments"]
    assert (first["found"]["height"], first["found"]["width"]) == (1024, 1536)
    assert max(first["labels_height"], first["labels_width"]) == 512
    assert all(segment["centroid"][0] < 1536 for segment in first["found"]["segments"])


def test_segments_have_the_colours_of_python(exported):
    for one in exported["segments"]:
        assert one["found"]["colours"] == segment_colours(len(one["found"]["segments"])).tolist()


def test_one_step_of_a_branch(trace, tmp_path):
    page = data_of(export_page(trace, tmp_path / "page.html", step=2, branch="uncond"))
    assert [step["index"] for step in page["trace"]["steps"]] == [2]
    expected = box_map(trace, View(1, step=2, branch="uncond"), Box.of_place(0, 0))
    np.testing.assert_allclose(unpacked(page["places"]["1"])[0], expected, atol=expected.max() / 500)


@pytest.mark.parametrize("step", [0, 1, 2])
@pytest.mark.parametrize("block", [1, 2, None])
def test_every_step_has_maps_of_its_own(exported, trace, step, block):
    maps, view = exported["steps"][str(step)], View(block, step=step, image=1)
    name = "all" if block is None else str(block)
    rows, columns = maps["places"][name]["grid"]
    for (row, column), found in zip(np.ndindex(rows, columns), unpacked(maps["places"][name]), strict=True):
        expected = box_map(trace, view, Box.of_place((row + 0.5) / rows, (column + 0.5) / columns))
        np.testing.assert_allclose(found, expected, atol=expected.max() / 120)
    words = [word_map(trace, view, tokens) for tokens in ([1], [2, 3], [0], [4])]
    np.testing.assert_allclose(unpacked(maps["words"][name]), words, atol=np.max(words) / 120)
    shares = unpacked(maps["shares"])[-1, 0]
    np.testing.assert_allclose(
        shares, token_shares(trace, View(step=step, image=1), Box.of_place(1, 1)), atol=2e-3
    )


def test_steps_by_themselves_are_coarser_where_all_would_not_fit(tmp_path, monkeypatch):
    trace = made_trace(grids=((32, 32),), steps=2, heads=1)
    monkeypatch.setattr(packing, "DETAILS", (packing.Detail(4, 8, 16, 8, 16),))
    page = data_of(export_page(trace, tmp_path / "page.html"))
    maps = page["steps"]["1"]
    assert page["run"] == {"steps": 2, "cells": 16}
    found = unpacked(maps["places"]["1"])
    assert (maps["places"]["1"]["grid"], found.shape) == ([4, 4], (16, 16, 16))
    rows = trace.probabilities(block=1, kind="self", branch="cond", image=0, head=0, step=1)
    expected = rows.view(4, 8, 4, 8, 16, 2, 16, 2).mean((1, 3)).sum((3, 5)).reshape(-1, 16, 16).numpy()
    np.testing.assert_allclose(found, expected, atol=expected.max() / 120)
    assert maps["places"]["all"]["grid"] == [8, 8]
    words = {name: (packed["height"], packed["width"]) for name, packed in maps["words"].items()}
    assert words == {"all": (16, 16), "1": (8, 8)}
    means = page["places"]["1"]
    assert (means["grid"], means["height"]) == ([32, 32], 32)


def test_of_a_long_run_evenly_chosen_steps_are_named_and_the_mean_is_over_all(tmp_path):
    trace = made_trace(steps=50)
    page = data_of(export_page(trace, tmp_path / "page.html"))
    steps = [step["index"] for step in page["trace"]["steps"]]
    assert (len(steps), steps[0], steps[-1]) == (20, 0, 49)
    assert {second - first for first, second in pairwise(steps)} == {2, 3}
    assert list(page["steps"]) == [str(step) for step in steps]
    assert page["run"]["steps"] == 50
    expected = box_map(trace, View(1), Box.of_place(0, 0))
    np.testing.assert_allclose(unpacked(page["places"]["1"])[0], expected, atol=expected.max() / 500)
    expected = box_map(trace, View(1, step=steps[7]), Box.of_place(0, 0))
    found = unpacked(page["steps"][str(steps[7])]["places"]["1"])[0]
    np.testing.assert_allclose(found, expected, atol=expected.max() / 120)


@pytest.mark.parametrize(("most", "steps"), [(0, []), (1, [2]), (2, [0, 2]), (99, [0, 1, 2])])
def test_fewer_steps_are_had_singly_where_that_is_asked_for(trace, tmp_path, most, steps):
    page = data_of(export_page(trace, tmp_path / "page.html", single_steps=most))
    assert [step["index"] for step in page["trace"]["steps"]] == steps
    assert list(page["steps"]) == [str(step) for step in steps]


def test_a_negative_number_of_steps_is_refused(trace, tmp_path):
    with pytest.raises(ParameterError, match="single_steps is -1; expected 0 or more"):
        export_page(trace, tmp_path / "page.html", single_steps=-1)


def test_steps_that_lack_a_layer_are_not_had_singly(tmp_path):
    trace = made_trace(steps=3)
    records = trace.records
    del records._records[records.calls[1].index, next(iter(records.layers))]
    with pytest.warns(PartialMeanWarning):
        page = data_of(export_page(trace, tmp_path / "page.html"))
    assert [step["index"] for step in page["trace"]["steps"]] == [0, 2]


SIXTEEN = ((32, 32),) * 5 + ((16, 16),) * 5 + ((8, 8),) * 5 + ((4, 4),)


@pytest.mark.parametrize("sharpness", [0.1, 1, 4])
def test_a_value_of_a_single_step_takes_no_more_than_is_reckoned(sharpness):
    scores = sharpness * torch.randn(256, 256, generator=torch.Generator().manual_seed(0))
    maps = scores.softmax(-1).view(256, 16, 16)
    text = packing.packed(maps, (16, 16), packing.LEVELS_OF_STEPS)
    assert len(text["levels"]) < packing.BYTES_A_VALUE * maps.numel()


@pytest.mark.parametrize(
    ("grids", "steps", "held"),
    [(SIXTEEN, 20, 20), (SIXTEEN, 50, 20), (((32, 32),) * 24, 30, 20), (((64, 64),) * 57, 28, 20)],
    ids=["demo", "long", "many layers", "flux"],
)
def test_single_steps_take_no_more_of_a_page_than_is_said(grids, steps, held):
    trace = made_trace(grids=grids, steps=steps, heads=1, dim=1, branches=("cond",))
    singles = packing.fitting_singles(trace, View(), 12, 20)
    assert len(singles.steps) == held
    assert (singles.steps[0], singles.steps[-1]) == (0, steps - 1)
    values = len(singles.steps) * packing._values(trace, 12, singles.detail)
    assert values * packing.BYTES_A_VALUE <= packing.MOST_BYTES_OF_STEPS


def test_where_even_coarse_steps_do_not_fit_there_are_fewer(monkeypatch):
    trace = made_trace(grids=((16, 16),) * 4, steps=16, heads=1, dim=1)
    monkeypatch.setattr(packing, "MOST_BYTES_OF_STEPS", 40_000)
    singles = packing.fitting_singles(trace, View(), 5, 20)
    assert 1 < len(singles.steps) < 16
    assert singles.detail == packing.DETAILS[-1]
    monkeypatch.setattr(packing, "MOST_BYTES_OF_STEPS", 40)
    assert packing.fitting_singles(trace, View(), 5, 20).steps == ()


@pytest.mark.slow
def test_the_page_grows_by_no_more_than_that(tmp_path):
    trace = made_trace(grids=SIXTEEN, steps=4, heads=1, dim=4)
    few, many = (
        export_page(trace, tmp_path / f"{most}.html", single_steps=most).stat().st_size for most in (0, 4)
    )
    singles = packing.fitting_singles(trace, View(), 5, 4)
    assert 0 < many - few < 4 * packing._values(trace, 5, singles.detail) * packing.BYTES_A_VALUE


def test_progress_reaches_its_end(trace, tmp_path):
    told = []
    export_page(trace, tmp_path / "page.html", progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1]
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    kinds = [layer.kind for layer in trace.layers]
    of_places = kinds.count("self") * len(trace.steps)
    of_words = (kinds.count("cross") + 1) * (1 + len(trace.steps))
    assert {done for done, _ in told} == set(range(1, 2 * of_places + of_words + 1))


def test_a_page_is_not_overwritten_unasked(trace, tmp_path):
    page = tmp_path / "page.html"
    page.write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        export_page(trace, page)
    assert page.read_text() == "mine"
    export_page(trace, page, overwrite=True)
    assert "attnscope" in page.read_text()


def test_what_the_trace_lacks_leaves_no_file(trace, tmp_path):
    for choice in ({"image": 7}, {"branch": "other"}, {"step": 99}):
        with pytest.raises(SelectionError):
            export_page(trace, tmp_path / "page.html", **choice)
    assert not list(tmp_path.iterdir())


def test_words_can_not_break_out_of_the_page(tmp_path):
    hostile = made_trace()
    hostile.run.prompts = ["red cat</script><script>alert(1)</script>"]
    text = export_page(hostile, tmp_path / "page.html").read_text()
    assert "<script>alert" not in text


@pytest.mark.parametrize("kind", ["self", "cross"])
def test_a_trace_of_one_kind_is_exported(kind, tmp_path):
    page = data_of(export_page(made_trace(kinds=(kind,)), tmp_path / "page.html"))
    assert bool(page["places"]) == (kind == "self")
    assert bool(page["words"]) == (kind == "cross")

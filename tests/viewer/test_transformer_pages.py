"""Transformers in the viewer: a joint attention is its parts, and numbers are shares of all that a place attends to."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient

import attnscope
from attnscope.places import Box, View, block_maps, box_map, every_place, token_shares
from attnscope.records.relations import relations
from attnscope.testing.made_traces import made_trace
from attnscope.viewer.app import create_app
from attnscope.viewer.export import export_page
from transformer_cases import CASES, HEIGHT, WIDTH
from unpacking import unpack
from viewer.browser import assert_shows, chromium, drawn, needs_chromium, opened, pixels, point, serving
from viewer.test_export import data_of, unpacked

pytestmark = [
    pytest.mark.filterwarnings("ignore::attnscope.recording.running.passes.IncompleteCaptureWarning"),
    pytest.mark.filterwarnings("ignore:.*is deprecated:FutureWarning"),  # diffusers' own
    pytest.mark.filterwarnings("ignore:In CPU autocast:UserWarning"),  # of Mochi
]
every_case = pytest.mark.parametrize("case", CASES, ids=str)
BY_FAMILY = {case.family: case for case in CASES}
PLACE = Box.of_place(0.4, 0.6)


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    """Of each pipeline, once: the saved trace of a run of two steps."""
    made = {}

    def trace_of(case):
        if case.name not in made:
            folder = tmp_path_factory.mktemp(case.name)
            pipe = case.make(folder / "files")
            with attnscope.capture(pipe) as trace:
                case.run(pipe)
            made[case.name] = attnscope.load_trace(trace.save(folder / "run.trace"))
        return made[case.name]

    return trace_of


def own_row(trace, layer):
    """Where the place looks, by the relation."""
    return row_of(trace, layer, "image->image")


def row_of(trace, layer, relation):
    """The row of the place in a relation, mean over heads and steps."""
    rows, columns = layer.grid
    query = int(0.4 * rows) * columns + int(0.6 * columns)
    return trace.probabilities(
        layer=layer.path, relation=relation, query=query, branch="cond", image=0, mean=("head", "step")
    )


@every_case
def test_the_page_is_told_self_and_cross_of_every_block_and_how_many_keys_the_softmax_has(case, traces):
    trace = traces(case)
    with TestClient(create_app([trace]), base_url="http://127.0.0.1") as client:
        (info,) = client.get("/api/traces").json()["traces"]
        for layer in info["layers"]:
            known = next(each for each in trace.layers if each.path == layer["path"])
            assert layer["kind"] in ("self", "cross")
            assert layer["grid"] == [HEIGHT // case.place, WIDTH // case.place]
            assert layer["softmax"] == known.keys
        drawn_blocks = {layer["block"] for layer in info["layers"] if layer["kind"] == "self"}
        assert drawn_blocks == {layer.block for layer in trace.layers.of_kind("self")}
        rare = {layer.kind for layer in trace.layers if layer.kind not in ("self", "cross", "joint")}
        assert {kind for kind in rare if f"{kind}-attention" in info["not_drawn"]} == rare


@every_case
def test_where_a_place_looks_and_what_it_reads_are_all_of_its_attention(case, traces):
    trace = traces(case)
    layers = trace.layers.of_kind("self")
    for layer in layers:
        own_frame = own_row(trace, layer)[: layer.grid.places]  # of a video the first
        np.testing.assert_allclose(
            box_map(trace, View(layer.block), PLACE).ravel(), own_frame.ravel(), atol=1e-6
        )
        whole = next(each for each in trace.layers if each.path == layer.path)
        parts = [name for name in relations(whole) if name.startswith("image->") and "/" not in name]
        total = sum(float(row_of(trace, layer, relation).sum()) for relation in parts)
        assert total == pytest.approx(1, abs=1e-5)
        if "image->text" in parts:
            read = token_shares(trace, View(layer.block), PLACE)
            np.testing.assert_allclose(read, row_of(trace, layer, "image->text").ravel(), atol=1e-6)
    if not layers:
        return
    mean = np.mean([each for _, each in block_maps(trace, View(), PLACE)], axis=0)
    np.testing.assert_allclose(box_map(trace, View(), PLACE), mean, atol=1e-6)  # one grid: nothing is scaled
    together = list(every_place(trace, View()))[-1]
    rows, columns = together.grid
    of_place = together.maps[int(0.4 * rows) * columns + int(0.6 * columns)]
    np.testing.assert_allclose(of_place, mean, atol=1e-6)


def test_maps_of_several_grids_keep_their_sums_in_the_mean():
    trace = made_trace(grids=((8, 12), (4, 6)), steps=1)
    assert box_map(trace, View(), PLACE).sum() == pytest.approx(1, abs=1e-5)
    for each in every_place(trace, View()):
        torch.testing.assert_close(each.maps.sum((1, 2)), torch.ones(len(each.maps)), atol=1e-5, rtol=0)


@every_case
def test_the_server_answers_places_words_heads_and_segments(case, traces):
    trace = traces(case)
    block = next((layer.block for layer in trace.layers.of_kind("self")), None)
    with TestClient(create_app([trace]), base_url="http://127.0.0.1") as client:
        place = client.get("/api/traces/0/place?top=0.4&left=0.6")
        if block is None:
            assert "holds no self-attention" in place.json()["error"]
        else:
            ((_, found),) = unpack(place.content)
            np.testing.assert_allclose(found, box_map(trace, View(), PLACE), atol=1e-3)
            heads = unpack(client.get(f"/api/traces/0/heads?top=0.4&left=0.6&block={block}").content)
            assert len(heads) == trace.layers[block, "self"].heads
        assert len(unpack(client.get("/api/traces/0/blocks?token=1").content)) == len(
            trace.layers.of_kind("cross")
        )
        shares = client.get("/api/traces/0/shares?top=0.4&left=0.6").json()["shares"]
        np.testing.assert_allclose(shares, token_shares(trace, View(), PLACE), atol=1e-6)
        assert client.post("/api/traces/0/aggregate").status_code == 200


@pytest.mark.thorough
@every_case
def test_an_exported_page_has_the_same_numbers(case, traces, tmp_path):
    trace = traces(case)
    page = data_of(export_page(trace, tmp_path / "page.html"))
    assert page["words"]["all"]
    if not trace.layers.of_kind("self"):
        assert (page["places"], page["segments"]) == ({}, [])
        return
    packed = page["places"]["all"]
    rows, columns = packed["grid"]
    found = unpacked(packed)[int(0.4 * rows) * columns + int(0.6 * columns)]
    expected = box_map(trace, View(), PLACE)
    np.testing.assert_allclose(found, expected, atol=expected.max() / 500)
    assert all(each["found"]["segments"] for each in page["segments"])


@pytest.mark.thorough
@needs_chromium
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("size", [(1280, 800), (390, 844)], ids=["desk", "phone"])
def test_a_transformer_is_a_column_of_its_stages_and_parts_say_their_sum(traces, size):
    trace = traces(BY_FAMILY["flux"])
    with chromium() as browser, serving(trace) as address:
        with opened(browser, f"{address}#o=1&ce=1&lt=0&pins=0.4,0.6", size=size) as page:
            page.wait_for_timeout(300)
            headings = page.locator("nav.blocks h3").all_inner_texts()
            assert headings == ["double · 6×8", "single · 6×8"]
            assert page.locator("nav.blocks .thumb").count() == 8
            found = box_map(trace, View(), PLACE)
            assert_shows(drawn(page), found, but=[(2, 4)])
            total = float(page.locator("[data-number=sum]").inner_text().split()[0])
            assert total == pytest.approx(100 * found.sum(), rel=6e-3)
            described = page.get_by_label(re.compile("^block 4, self")).get_attribute("title")
            assert (
                "P (2, 48, 48), cut from a softmax over 60 keys\nsingle_transformer_blocks.1.attn"
                in described
            )
            fourth = pixels(page, ".thumb[aria-label^='block 4, self'] canvas")
            assert_shows(fourth, box_map(trace, View(4), PLACE))
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            page.get_by_label(re.compile("^block 3, cross")).click()
            page.get_by_role("button", name="Segments").click()
            drawn(page)
            assert page.locator("nav.blocks").count() == 0


@pytest.mark.thorough
@needs_chromium
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("family", ["flux", "sd3", "pixart"])
@pytest.mark.parametrize(
    "view", ["pins=0.4,0.6", "b=2&pins=0.4,0.6", "b=2&h=1&s=0&pins=0.4,0.6", "m=words&w=2"]
)
def test_the_copied_code_makes_what_is_drawn(traces, family, view, tmp_path, monkeypatch):
    trace = traces(BY_FAMILY[family])
    folder = trace.save(tmp_path / "run.trace")
    with chromium() as browser, serving(folder) as address:
        with opened(browser, f"{address}#o=1&ce=1&lt=0&{view}") as page:
            canvas = drawn(page)
            page.mouse.move(*point(page, 0.0, 0.0))
            page.get_by_role("button", name="Copy code").click()
            code = page.evaluate("navigator.clipboard.readText()")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(code, names)
    made = names["where"] if "where" in names else names["heat"].array
    assert_shows(canvas, made, but=[(2, 4)], top=names.get("top"))
    assert (tmp_path / "attention.png").exists()

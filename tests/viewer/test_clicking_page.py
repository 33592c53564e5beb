"""Something is cut out by clicks: the masks of Python, prepared once, refused in one sentence."""

from __future__ import annotations

import io
import json
import time
from dataclasses import replace

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

import attnscope
from attnscope.testing.made_traces import made_trace
from attnscope.viewer import clicking
from attnscope.viewer.app import create_app
from attnscope.viewer.clicking import ClickSource
from viewer.conftest import picture
from viewer.waiting import waited

pytest.importorskip("scipy")

OF = "block=1&image=1"  # made traces have no way up
CLICKS = "plus=20,30&plus=24,28&minus=80,10"
POINTS = {"plus": [(20, 30), (24, 28)], "minus": [(80, 10)]}


@pytest.fixture
def ready(client):
    assert waited(client, f"/api/traces/0/clicks?{OF}")["state"] == "ready"
    return client


@pytest.fixture
def expected(trace):
    return attnscope.click(trace, **POINTS, layers=[1], image=1)


def test_a_mask_is_that_of_python(ready, expected):
    found = ready.get(f"/api/traces/0/cutout?{OF}&{CLICKS}").json()
    area = int(expected.mask.sum())
    assert 0 < area < expected.mask.size
    assert found == {
        "height": 64,
        "width": 96,
        "area": area,
        "share": pytest.approx(area / 64 / 96),
        "score": pytest.approx(expected.score),
        "layers": expected.clicks.origin["layers"],
    }
    bits = np.frombuffer(ready.get(f"/api/traces/0/cutout/file?{OF}&{CLICKS}").content, np.uint8)
    np.testing.assert_array_equal(np.unpackbits(bits)[: 64 * 96].reshape(64, 96), expected.mask)


def test_files_of_a_mask_are_those_of_python(ready, expected):
    def saved(format):
        answer = ready.get(f"/api/traces/0/cutout/file?{OF}&{CLICKS}&format={format}")
        return answer.content, answer.headers["content-disposition"]

    mask, name = saved("mask")
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(mask))), 255 * expected.mask)
    assert 'filename="red-cat-2.mask.png"' in name
    cut, name = saved("picture")
    drawn = Image.open(io.BytesIO(cut))
    assert drawn.mode == "RGBA"
    np.testing.assert_array_equal(np.asarray(drawn), np.asarray(expected.cutout()))
    np.testing.assert_array_equal(np.asarray(drawn)[..., 3] == 255, expected.mask)
    inside = np.asarray(drawn)[expected.mask][:, :3]
    np.testing.assert_array_equal(inside, np.asarray(expected.picture)[expected.mask])
    assert not np.asarray(drawn)[~expected.mask].any()
    numbers, name = saved("json")
    assert json.loads(numbers) == json.loads(json.dumps(expected.to_dict()))
    assert 'filename="red-cat-2.cutout.json"' in name


def test_one_step_of_a_branch(client, trace):
    of = "block=2&step=1&branch=uncond"
    assert waited(client, f"/api/traces/0/clicks?{of}")["state"] == "ready"
    found = client.get(f"/api/traces/0/cutout?{of}&plus=5,5").json()
    expected = attnscope.click(trace, [(5, 5)], layers=[2], steps=1, branch="uncond")
    assert found["area"] == expected.mask.sum()


def test_clicks_wait_until_the_picture_is_ready(client):
    assert client.get(f"/api/traces/0/clicks?{OF}").json()["state"] == "absent"
    answer = client.get(f"/api/traces/0/cutout?{OF}&{CLICKS}")
    assert answer.status_code == 409
    assert "not ready to be clicked on" in answer.json()["error"]


def test_it_tells_how_far_it_is(client):
    state = waited(client, f"/api/traces/0/clicks?{OF}")
    assert state == {"state": "ready", "done": 4, "total": 4, "error": ""}


def test_it_can_be_cancelled(client, monkeypatch):
    def slow(*_, progress, **__):
        for at in range(1000):
            progress(at, 1000)
            time.sleep(0.01)

    monkeypatch.setattr(clicking, "clicks_on_trace", slow)
    client.post(f"/api/traces/0/clicks?{OF}")
    time.sleep(0.05)
    assert client.get(f"/api/traces/0/clicks?{OF}").json()["state"] == "running"
    assert client.delete(f"/api/traces/0/clicks?{OF}").json()["state"] == "absent"
    monkeypatch.undo()
    assert waited(client, f"/api/traces/0/clicks?{OF}")["state"] == "ready"


def test_a_further_click_reads_no_attention(ready, monkeypatch):
    monkeypatch.setattr(clicking, "clicks_on_trace", None)  # would be a TypeError
    assert ready.get(f"/api/traces/0/cutout?{OF}&plus=50,50").status_code == 200
    assert ready.post(f"/api/traces/0/clicks?{OF}").json()["state"] == "ready"


def test_only_the_last_pictures_are_kept_ready(client):
    for block in (1, 2):
        for image in (0, 1):
            assert waited(client, f"/api/traces/0/clicks?block={block}&image={image}")["state"] == "ready"
    states = [
        client.get(f"/api/traces/0/clicks?block={b}&image={i}").json()["state"]
        for b in (1, 2)
        for i in (0, 1)
    ]
    assert states == ["absent", "ready", "ready", "ready"]
    assert clicking.MOST_READY == 3


def test_what_is_ready_says_its_bytes(ready, trace):
    tool = ready.app.state.tools[0]
    bytes_ready = tool._ready.get((0, ClickSource(None, "cond", 1, 1))).value.bytes
    clicks = attnscope.click(trace, [(1, 1)], layers=[1], image=1).clicks
    assert bytes_ready == clicks.bytes >= 6 * (8 * 12) ** 2 * 4  # the chain, and five powers of it


def test_what_a_closed_trace_had_is_forgotten(trace):
    app = create_app([trace, trace])
    with TestClient(app, base_url="http://127.0.0.1") as client:
        assert waited(client, f"/api/traces/1/clicks?{OF}")["state"] == "ready"
        app.state.answers.shelf.take_away(1)
        assert waited(client, f"/api/traces/0/clicks?{OF}")["state"] == "ready"
        assert app.state.tools[0]._ready.get((1, ClickSource(None, "cond", 1, 1))) is None
        assert client.get(f"/api/traces/1/clicks?{OF}").status_code == 404


@pytest.mark.parametrize(
    ("query", "status", "sentence"),
    [
        ("plus=96,10", 400, "plus click (96, 10) is outside of the picture; expected x from 0 to 95"),
        ("plus=99999,99999", 400, "outside of the picture"),
        ("plus=1,1&minus=1,1", 400, "is a plus and a minus click"),
        ("minus=1,1", 400, "0 plus and 1 minus clicks; expected at least one plus=X,Y"),
        ("", 400, "0 plus and 0 minus clicks"),
        ("plus=1", 400, "click '1': expected X,Y in whole pixels, such as 120,80"),
        ("plus=nan,1", 400, "click 'nan,1'"),
        ("plus=-1,1", 400, "click '-1,1'"),
        ("plus=1,1,1", 400, "click '1,1,1'"),
        ("plus=1e9,1", 400, "click '1e9,1'"),
        ("plus=٣,1", 400, "click '٣,1'"),
        ("&".join(f"plus={at},1" for at in range(21)), 400, "20 clicks at most"),
        ("plus=1,1&format=exe", 422, "format"),
        ("plus=1,1&block=99999999", 422, "block: Input should be less than or equal to 10000"),
        ("plus=1,1&step=x", 422, "step"),
    ],
)  # fmt: skip
def test_clicks_that_are_none_are_refused(ready, query, status, sentence):
    path = "cutout/file" if "format" in query else "cutout"
    answer = ready.get(f"/api/traces/0/{path}?{'' if 'block' in query else OF}&{query}")
    assert answer.status_code == status
    assert sentence in answer.json()["error"]
    assert "\n" not in answer.json()["error"]


def of(**changes):
    made = made_trace(grids=((8, 12), (4, 6)), steps=2, **changes)
    made.run.pictures = [picture()]
    made.run = replace(made.run, image_size_hw=(64, 96))
    return made


def without_picture():
    made = of()
    made.run.pictures = []
    return made


def large():
    made = made_trace(grids=((128, 128),), steps=1, heads=1, dim=1, kinds=("self",))
    made.run.pictures = [picture(64, 64)]
    return made


@pytest.mark.parametrize(
    ("make", "query", "status", "sentence"),
    [
        (of, "", 404, "no self-attention on the U-Net's way up, which clicks use by default: choose"),
        (of, "block=7", 404, "block 7 self: this trace has self blocks 1 to 2"),
        (of, "block=1&step=9", 404, "step 9: this trace has steps 0 to 1"),
        (of, "block=1&image=3", 404, "image 3: this trace has images 0 to 0"),
        (of, "block=1&branch=other", 404, "branch 'other'"),
        (lambda: of(kinds=("cross",)), "", 404, "holds no self-attention, which clicks need"),
        (without_picture, "block=1", 400, "holds no picture of image 0 to click on"),
        (large, "block=1", 400, "need a chain of 1024 MiB, and this viewer takes 9216 places at most"),
    ],
)  # fmt: skip
def test_what_can_not_be_clicked_on_is_refused_with_its_reason(make, query, status, sentence):
    client = TestClient(create_app([make()]), base_url="http://127.0.0.1")
    answer = client.post(f"/api/traces/0/clicks?{query}")
    assert answer.status_code == status
    assert sentence in answer.json()["error"]


def test_what_fails_on_the_way_is_told(client, monkeypatch):
    def broken(*_, **__):
        raise attnscope.errors.missing_extra("fitting to edges", "kornia", "segment")

    monkeypatch.setattr(clicking, "clicks_on_trace", broken)
    state = waited(client, f"/api/traces/0/clicks?{OF}")
    assert state["state"] == "failed"
    assert "pip install" in state["error"]


@pytest.mark.slow
def test_the_demo_model_s_picture_is_clicked_on_as_in_python():
    import torch

    pipe = attnscope.load_pipeline("demo")
    pipe.set_progress_bar_config(disable=True)
    with attnscope.capture(pipe, kind="self") as trace:
        pipe("a red house on grass", num_inference_steps=4, generator=torch.Generator().manual_seed(0))
    with TestClient(create_app([trace]), base_url="http://127.0.0.1") as client:
        assert waited(client, "/api/traces/0/clicks")["state"] == "ready"
        found = client.get("/api/traces/0/cutout?plus=128,140&minus=10,10").json()
        expected = attnscope.click(trace, [(128, 140)], [(10, 10)])
        assert found["area"] == expected.mask.sum()
        began = time.monotonic()
        client.get("/api/traces/0/cutout?plus=128,140&plus=100,150&minus=10,10").raise_for_status()
        assert time.monotonic() - began < 3  # 0.1 s on an idle machine

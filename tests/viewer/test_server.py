"""The server's answers: the numbers of Python, kept once, refused in one sentence."""

from __future__ import annotations

import io
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest
from fastapi import Request
from fastapi.testclient import TestClient
from PIL import Image

import attnscope
from attnscope import places
from attnscope.errors import SelectionError, TraceFormatError
from attnscope.pictures.lines import boundaries
from attnscope.pictures.regions import rle_mask
from attnscope.places import Box, View, block_maps, box_map, token_shares, word_map
from attnscope.segmentation.evidence import aggregated_attention
from attnscope.segmentation.segment import segment_trace
from attnscope.testing.made_traces import made_trace
from attnscope.trace.trace import Trace
from attnscope.viewer import aggregates
from attnscope.viewer.app import create_app
from unpacking import unpack

RECIPE = "threshold=0.05&passes=2&anchors=4"


def aggregated(client, query=""):
    client.post(f"/api/traces/0/aggregate?{query}").raise_for_status()
    for _ in range(200):
        state = client.get(f"/api/traces/0/aggregate?{query}").json()
        if state["state"] != "running":
            return state
        time.sleep(0.02)
    raise AssertionError("the aggregate is never ready")


def test_the_traces_are_listed_with_all_that_can_be_chosen(client, trace):
    (info,) = client.get("/api/traces").json()["traces"]
    assert info["branches"] == ["uncond", "cond"]
    assert [step["index"] for step in info["steps"]] == [0, 1, 2]
    assert {(layer["block"], layer["kind"]) for layer in info["layers"]} == {
        (1, "self"), (1, "cross"), (2, "self"), (2, "cross")
    }  # fmt: skip
    assert info["size"] == [64, 96]
    assert [word["tokens"] for word in info["images"][0]["texts"]["cond"]["words"]] == [[1], [2, 3]]
    assert info["threshold"] == 1.1


def test_a_place_has_the_numbers_of_python(client, trace):
    body = client.get("/api/traces/0/place?top=0.3&left=0.9&block=1&head=1&step=2&image=1").content
    ((head, found),) = unpack(body)
    expected = box_map(trace, View(1, 1, 2, "cond", 1), Box.of_place(0.3, 0.9))
    np.testing.assert_allclose(found, expected, atol=expected.max() * 2**-11)
    assert head["maximum"] == pytest.approx(float(expected.max()))
    assert head["peak"] == list(np.unravel_index(expected.argmax(), expected.shape))


def test_blocks_words_and_shares_have_the_numbers_of_python(client, trace):
    blocks = unpack(client.get("/api/traces/0/blocks?top=0.1&left=0.1&bottom=0.5&right=0.7&step=0").content)
    for (head, found), (block, expected) in zip(
        blocks, block_maps(trace, View(step=0), Box(0.1, 0.1, 0.5, 0.7)), strict=True
    ):
        assert head["number"] == block
        np.testing.assert_allclose(found, expected, atol=expected.max() * 2**-11)
    ((_, word),) = unpack(client.get("/api/traces/0/words?token=2&token=3").content)
    np.testing.assert_allclose(word, word_map(trace, View(), [2, 3]), atol=word.max() * 2**-11)
    shares = client.get("/api/traces/0/shares?top=0.4&left=0.2").json()["shares"]
    np.testing.assert_allclose(shares, token_shares(trace, View(), Box.of_place(0.4, 0.2)), atol=1e-7)


def test_heads_of_a_block_have_the_numbers_of_python(client, trace):
    places = unpack(client.get("/api/traces/0/heads?top=0.9&left=0.1&block=2&step=1").content)
    words = unpack(client.get("/api/traces/0/heads?token=1&block=1").content)
    for head in (0, 1):
        expected = box_map(trace, View(2, head, 1), Box.of_place(0.9, 0.1))
        np.testing.assert_allclose(places[head][1], expected, atol=expected.max() * 2**-11)
        expected = word_map(trace, View(1, head), [1])
        np.testing.assert_allclose(words[head][1], expected, atol=expected.max() * 2**-11)
    assert len(places) == len(words) == 2


def test_words_in_every_block(client):
    found = unpack(client.get("/api/traces/0/blocks?token=1").content)
    assert [head["number"] for head, _ in found] == [1, 2]


def test_maps_come_as_png_and_npz_too(client, trace):
    address = "/api/traces/0/place?top=0.3&left=0.9&block=2&format="
    drawn = Image.open(io.BytesIO(client.get(address + "png").content))
    assert drawn.size == (6 * 85, 4 * 85)
    values = np.load(io.BytesIO(client.get(address + "npz").content))["map"]
    np.testing.assert_array_equal(values, box_map(trace, View(2), Box.of_place(0.3, 0.9)))


def test_the_picture_is_the_runs(client, trace):
    drawn = Image.open(io.BytesIO(client.get("/api/traces/0/picture?image=1").content))
    np.testing.assert_array_equal(np.asarray(drawn), np.asarray(trace.run.pictures[1]))


def test_an_answer_is_not_sent_twice(client):
    first = client.get("/api/traces/0/place?top=0&left=0")
    again = client.get("/api/traces/0/place?top=0&left=0", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = client.get("/api/traces/0/place?top=0.9&left=0", headers={"if-none-match": first.headers["etag"]})
    assert other.status_code == 200


def test_segments_are_those_of_python(client, trace):
    assert aggregated(client, "step=1")["state"] == "ready"
    found = client.get(f"/api/traces/0/segments?step=1&{RECIPE}&word=0&word=1").json()
    expected = segment_trace(
        trace, steps=[1], thresholds=0.05, passes=2, anchors=4, labels=["red", "cat"], unite=False
    )
    assert [segment["area"] for segment in found["segments"]] == [one.area for one in expected.segments]
    assert [segment["label"] for segment in found["segments"]] == list(expected.names)
    body = client.get(f"/api/traces/0/labels?step=1&{RECIPE}&word=0&word=1").content
    labels = np.frombuffer(body, "<u2").reshape(found["height"], found["width"])
    np.testing.assert_array_equal(labels, expected.labels)
    for segment in found["segments"]:
        np.testing.assert_array_equal(rle_mask(segment["rle"]), labels == segment["id"])
        best = int(np.argmax(segment["scores"]))
        assert segment["label"] in (None, ["red", "cat"][best])
    assert {segment["label"] for segment in found["segments"]} > {None}  # some fit weakly


def test_segments_have_the_colours_of_python(client, trace, tmp_path):
    assert aggregated(client)["state"] == "ready"
    found = client.get(f"/api/traces/0/segments?{RECIPE}").json()
    expected = segment_trace(trace, thresholds=0.05, passes=2, anchors=4, unite=False)
    assert len(found["colours"]) == len(expected) > 2
    labels, *_ = expected.save(tmp_path / "found")
    with Image.open(labels) as saved:
        palette = np.array(saved.getpalette()).reshape(-1, 3)
    overlay = np.asarray(expected.overlay(opacity=1))
    inside = ~boundaries(expected.labels, 3)
    for segment, colour in enumerate(found["colours"]):
        assert palette[segment].tolist() == colour
        drawn = overlay[(expected.labels == segment) & inside]
        assert (drawn == colour).all()
        assert len(drawn)


def test_labels_come_as_png_and_npz(client):
    aggregated(client)
    raw = client.get(f"/api/traces/0/labels?{RECIPE}").content
    drawn = Image.open(io.BytesIO(client.get(f"/api/traces/0/labels?{RECIPE}&format=png").content))
    saved = np.load(io.BytesIO(client.get(f"/api/traces/0/labels?{RECIPE}&format=npz").content))
    np.testing.assert_array_equal(np.asarray(drawn).ravel(), np.frombuffer(raw, "<u2"))
    np.testing.assert_array_equal(saved["labels"].ravel(), np.frombuffer(raw, "<u2"))


def test_weights_change_the_aggregate(client, trace):
    query = "weights=8:1,4:0"
    assert aggregated(client, query)["state"] == "ready"
    aggregate = client.app.state.answers.aggregates.get(0, aggregates.Source(weights=((4, 0.0), (8, 1.0))))
    expected = aggregated_attention(trace, weights={(8, 12): 1, (4, 6): 0})
    assert (aggregate.evidence.aggregated - expected).abs().max() < 1e-6
    assert "expected one for each" in aggregated(client, "weights=8:1")["error"]


def test_a_trace_without_cross_attention_has_segments_without_names():
    client = TestClient(create_app([made_trace(kinds=("self",))]), base_url="http://127.0.0.1")
    assert aggregated(client)["state"] == "ready"
    found = client.get(f"/api/traces/0/segments?{RECIPE}&word=0").json()
    assert {segment["label"] for segment in found["segments"]} == {None}
    assert client.get("/api/traces/0/shares?top=0&left=0").status_code == 404


def test_the_negative_branch_names_segments_by_its_own_words(client):
    assert aggregated(client, "branch=uncond")["state"] == "ready"
    found = client.get(f"/api/traces/0/segments?branch=uncond&{RECIPE}&word=0").json()
    assert {segment["label"] for segment in found["segments"]} <= {"cat", None}
    assert {len(segment["scores"]) for segment in found["segments"]} == {1}
    answer = client.get(f"/api/traces/0/segments?branch=uncond&{RECIPE}&word=1")
    assert answer.status_code == 404
    assert "branch 'uncond' has 1 words" in answer.json()["error"]


def test_segments_wait_for_the_aggregate(client):
    answer = client.get(f"/api/traces/0/segments?{RECIPE}")
    assert (answer.status_code, "not aggregated yet" in answer.json()["error"]) == (409, True)


def test_long_work_tells_how_far_it_is_and_can_be_cancelled(client, monkeypatch):
    def slow(trace, *, progress, **_):
        for done in range(10_000):
            progress(done, 10_000)
            time.sleep(0.01)

    monkeypatch.setattr(aggregates, "evidence_of_trace", slow)
    client.post("/api/traces/0/aggregate?image=1")
    time.sleep(0.1)
    state = client.get("/api/traces/0/aggregate?image=1").json()
    assert state["state"] == "running"
    assert 0 < state["done"] < state["total"] == 10_000
    assert client.delete("/api/traces/0/aggregate?image=1").json()["state"] == "absent"
    monkeypatch.undo()
    assert aggregated(client, "image=1")["state"] == "ready"  # the worker is free again


def test_too_much_long_work_is_refused(client, monkeypatch):
    monkeypatch.setattr(aggregates.Aggregate, "compute", lambda self: time.sleep(0.05))
    answers = [client.post(f"/api/traces/0/aggregate?weights=8:{n},4:1") for n in range(8)]
    assert {answer.status_code for answer in answers} == {200, 429}
    assert "waiting already" in answers[-1].json()["error"]


def test_only_the_last_aggregates_are_kept(client):
    for step in range(3):
        assert aggregated(client, f"step={step}")["state"] == "ready"
    states = [client.get(f"/api/traces/0/aggregate?step={step}").json()["state"] for step in range(3)]
    assert states == ["absent", "ready", "ready"]


@pytest.mark.parametrize(
    ("address", "status", "sentence"),
    [
        ("/api/traces/7/picture", 404, "trace 7: this viewer has traces 0"),
        ("/api/traces/0/picture?image=9", 404, "image 9: this trace holds 2 picture(s)"),
        ("/api/traces/0/place?top=0.5&left=1.5", 422, "left: Input should be less than or equal to 1, got '1.5'"),
        ("/api/traces/0/place?top=nan&left=0", 422, "top: Input should be a finite number, got 'nan'"),
        ("/api/traces/0/place?top=0.5", 422, "left: Field required"),
        ("/api/traces/0/place?top=0.5&left=0.5&bottom=0.1", 400, "top before bottom"),
        ("/api/traces/0/place?top=0&left=0&block=9", 404, "this trace has self blocks"),
        ("/api/traces/0/place?top=0&left=0&head=99", 404, "head 99"),
        ("/api/traces/0/place?top=0&left=0&branch=other", 404, "branch 'other'"),
        ("/api/traces/0/blocks", 400, "give a place"),
        ("/api/traces/0/heads?top=0&left=0", 400, "choose block="),
        ("/api/traces/0/words?token=99", 404, "token 99"),
        ("/api/traces/0/aggregate?weights=x", 400, "weights 'x': expected HEIGHT:WEIGHT"),
        ("/api/traces/0/segments?threshold=-1", 409, "not aggregated yet"),
        ("/api/nothing", 404, "Not Found"),
        ("/static/..%2Fapp.py", 404, "no such file"),
    ],
)  # fmt: skip
def test_what_can_not_be_answered_is_refused_in_one_sentence(client, address, status, sentence):
    answer = client.get(address)
    assert answer.status_code == status
    assert sentence in answer.json()["error"]
    assert "\n" not in answer.json()["error"]


def test_bad_recipes_are_refused(client):
    aggregated(client)
    for query, status in (
        ("threshold=-1", 400),
        ("threshold=1&word=9", 404),
        ("threshold=1&anchors=99", 422),
    ):
        assert client.get(f"/api/traces/0/segments?{query}").status_code == status


def test_a_trace_without_steps_or_a_folder_that_is_none_is_not_opened(tmp_path):
    empty = made_trace(steps=0)
    with pytest.raises(SelectionError, match="nothing to look at"):
        create_app([empty])
    with pytest.raises(TraceFormatError):
        create_app([tmp_path])


def test_folders_of_one_name_are_told_apart(trace, tmp_path):
    for parent in "ab":
        trace.save(tmp_path / parent / "run.trace")
    client = TestClient(
        create_app([tmp_path / "a" / "run.trace", tmp_path / "b" / "run.trace"]), base_url="http://127.0.0.1"
    )
    infos = client.get("/api/traces").json()["traces"]
    assert [info["name"] for info in infos] == ["a/run.trace", "b/run.trace"]
    loaded = attnscope.load_trace(infos[1]["folder"])
    assert loaded.prompt() == trace.prompt()


def test_a_large_trace_opens_at_one_step():
    large = made_trace(grids=((64, 64),), steps=17, heads=1, dim=1, kinds=("cross",))
    large.run = replace(large.run, image_size_hw=(512, 512))
    client = TestClient(create_app([large]), base_url="http://127.0.0.1")
    assert client.get("/api/traces").json()["traces"][0]["step"] == 11


def test_every_pass_of_a_trace_is_there_to_look_at(tmp_path):
    both = Trace(*(made_trace(grids=(grid,), seed=seed)._only for seed, grid in enumerate([(8, 12), (4, 6)])))
    folder = both.save(tmp_path / "run.trace")
    client = TestClient(create_app([folder, made_trace()]), base_url="http://127.0.0.1")
    shown = client.get("/api/traces").json()["traces"]
    assert [one["name"] for one in shown] == ["run.trace, pass 0", "run.trace, pass 1", "red cat"]
    assert [one["layers"][0]["grid"] for one in shown] == [[8, 12], [4, 6], [4, 6]]
    assert client.get("/api/traces/1/place?block=1&step=0&top=0.5&left=0.5").status_code == 200


def test_a_trace_that_was_replaced_or_deleted_is_said(trace, tmp_path):
    folder = trace.save(tmp_path / "run.trace")
    (folder / "dangling").symlink_to(tmp_path / "nowhere")  # what else lies there does not matter
    with TestClient(create_app([folder]), base_url="http://127.0.0.1") as client:
        asked = "/api/traces/0/words?token=2&format=npz"
        assert client.get(asked).status_code == 200
        (folder / "notes.txt").write_text("mine")
        assert client.get(asked).status_code == 200
        (folder / "dangling").unlink()
        trace.save(folder, overwrite=True)
        for address in ("/api/traces", asked, "/api/traces/0/aggregate"):
            refused = client.get(address)
            assert refused.status_code == 409
            assert "'run.trace' was replaced or changed since the viewer opened it" in refused.json()["error"]
        shutil.rmtree(folder)
        assert "was moved or deleted" in client.get(asked).json()["error"]


def test_a_question_that_nobody_waits_for_is_not_computed(trace, monkeypatch):
    async def gone(_request):
        return True

    monkeypatch.setattr(places, "word_map", None)  # would be a TypeError
    monkeypatch.setattr(Request, "is_disconnected", gone)
    with TestClient(create_app([trace]), base_url="http://127.0.0.1") as client:
        assert client.get("/api/traces/0/words?token=2").status_code == 499
        assert client.get("/api/traces/0/shares?top=0&left=0").status_code == 499

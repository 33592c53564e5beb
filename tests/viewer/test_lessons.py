"""What a lesson is told: the numbers of attnscope.places.computation, the shapes of the model's layers."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from fastapi.testclient import TestClient
from pydantic import BaseModel

from attnscope.places import computation
from attnscope.testing.made_traces import made_trace
from attnscope.trace.contents import Pass
from attnscope.trace.trace import Trace
from attnscope.viewer import learning, learning_forms, page
from attnscope.viewer.app import create_app
from changed_records import with_even_rows, with_value

PLACE = "block=1&head=1&step=2&branch=cond&image=1&top=0.3&left=0.9"
WHERE = {"block": 1, "head": 1, "step": 2, "branch": "cond", "image": 1, "query": (2, 10)}
FORMS = [
    form
    for form in vars(learning_forms).values()
    if isinstance(form, type) and issubclass(form, BaseModel) and form is not BaseModel
]


def unpacked(body: bytes):
    """The head and the arrays, as learn/numbers.js reads them."""
    length = int.from_bytes(body[:4], "little")
    told, at, arrays = json.loads(body[4 : 4 + length]), 4 + length, {}
    for name, shape in told["arrays"]:
        size = int(np.prod(shape))
        arrays[name] = np.frombuffer(body, "<f4", size, at).reshape(shape)
        at += 4 * size
    assert at == len(body)
    return told["head"], arrays


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_the_page_has_a_type_of_the_same_fields(form):
    types = page.static_files()["learn/types.d.ts"].decode()
    body = re.search(rf"^export interface {form.__name__} {{\n(.*?)^}}", types, re.M | re.S)[1]
    assert re.findall(r"^  (\w+): ", body, re.M) == list(form.model_fields)


@pytest.mark.parametrize("kind", ["self", "cross"])
def test_a_place_s_computation_has_the_numbers_of_python(client, trace, kind):
    head, arrays = unpacked(client.get(f"/api/traces/0/computation?{PLACE}&kind={kind}").content)
    row = computation(trace, kind=kind, **WHERE).row
    for name in ("query", "scores", "scaled", "exponentials", "probability"):
        np.testing.assert_allclose(arrays[name], getattr(row, name), rtol=1e-7)
    assert (head["row"], head["column"], head["keys"], head["dim"]) == (2, 10, *row.key.shape)
    assert (head["scale"], head["largest"], head["total"]) == (row.scale, row.largest, row.total)
    assert head["top"] == row.probability.argsort(descending=True)[: learning.MOST_TOP].tolist()
    assert not head["has_value"]
    assert set(arrays) == {"query", "scores", "scaled", "exponentials", "probability"}


def test_keys_and_values_are_those_of_the_head():
    trace = with_value(made_trace(grids=((8, 12),), steps=3, heads=2, images=2))
    with TestClient(create_app([trace]), base_url="http://127.0.0.1") as client:
        head, arrays = unpacked(
            client.get("/api/traces/0/keys?block=1&head=1&step=2&image=1&kind=self").content
        )
        row = computation(trace, kind="self", **WHERE).row
        np.testing.assert_array_equal(arrays["key"], row.key.float())
        np.testing.assert_array_equal(arrays["value"], row.value.float())
        assert head["has_value"]
        told, found = unpacked(client.get(f"/api/traces/0/computation?{PLACE}&kind=self").content)
        np.testing.assert_allclose(found["output"], row.output, rtol=1e-6)
        np.testing.assert_allclose(found["adds"], row.adds, rtol=1e-6, atol=1e-9)
        assert told["has_value"]


def test_all_numbers_can_be_taken_along(client, trace):
    body = client.get(f"/api/traces/0/computation?{PLACE}&kind=cross&format=npz").content
    found = np.load(io.BytesIO(body))
    row = computation(trace, kind="cross", **WHERE).row
    np.testing.assert_array_equal(found["probability"], row.probability)  # float64


def test_a_mask_and_an_edit_are_told():
    trace = with_even_rows(made_trace(mask=True), 0.5)
    with TestClient(create_app([trace]), base_url="http://127.0.0.1") as client:
        address = "/api/traces/0/computation?block=1&head=0&step=0&top=0&left=0&kind=cross"
        head, arrays = unpacked(client.get(address).content)
        assert (head["masked"], head["edited"]) == (True, True)
        assert arrays["used"].tolist() == [0.5] * 5
        np.testing.assert_allclose(
            arrays["added"], arrays["scaled"] - arrays["scores"] * head["scale"], atol=1e-5
        )


def test_the_lesson_has_the_shapes_and_the_scale(trace):
    guided = Trace(Pass(trace.records, replace(trace.run, guidance_scale=7.5)))
    with TestClient(create_app([guided]), base_url="http://127.0.0.1") as client:
        lesson = client.get("/api/traces/0/lesson").json()
    assert lesson["guidance_scale"] == 7.5
    first = lesson["layers"][0]
    assert (first["block"], first["kind"]) == (1, "self")
    assert first["query"] == first["key"] == first["value"] == [2 * 2 * 2, 96, 5]
    assert first["probability"] == [8, 96, 96]
    assert [layer["kind"] for layer in lesson["layers"]] == ["self", "cross", "self", "cross"]


@pytest.mark.parametrize(
    ("address", "status", "message"),
    [
        ("computation?head=0&step=0&top=0&left=0", 422, "block"),
        ("computation?block=1&head=0&step=0&top=0", 422, "left"),
        ("computation?block=1&head=0&step=0&top=2&left=0", 422, "top"),
        ("computation?block=1&head=0&step=0&top=0&left=0&kind=joint", 422, "kind"),
        ("computation?block=7&head=0&step=0&top=0&left=0", 404, "block 7 self"),
        ("computation?block=1&head=9&step=0&top=0&left=0", 404, "head 9"),
        ("keys?block=1&head=0&step=77", 404, "step 77"),
        ("keys?block=1&head=0&step=0&branch=best", 404, "branch 'best'"),
    ],
)
def test_what_can_t_be_answered_is_refused_in_one_sentence(client, address, status, message):
    answer = client.get(f"/api/traces/0/{address}")
    assert answer.status_code == status
    assert message in answer.json()["error"]


def test_a_k_that_is_too_large_for_a_page_is_refused(client, monkeypatch):
    monkeypatch.setattr(learning, "MOST_KEY_NUMBERS", 100)
    answer = client.get("/api/traces/0/keys?block=1&head=0&step=0")
    assert answer.status_code == 400
    assert answer.json()["error"] == (
        "K of block 1 self is 480 numbers a head; the page shows at most 100: "
        "use attnscope.places.computation in Python"
    )

"""What a browser may ask of the studio: bounds, one sentence for each refusal, never a failure of the server."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

GOOD = {"prompt": "a tree", "steps": 2}


@pytest.mark.parametrize(
    ("asked", "status", "words"),
    [
        ({}, 422, "prompt"),
        ({"prompt": " "}, 400, "the prompt is empty"),
        ({"prompt": "x" * 4001}, 422, "prompt"),
        ({**GOOD, "steps": 0}, 422, "steps"),
        ({**GOOD, "steps": 251}, 422, "steps"),
        ({**GOOD, "seed": -1}, 422, "seed"),
        ({**GOOD, "guidance_scale": 1e9}, 422, "guidance_scale"),
        ({**GOOD, "height": 64}, 422, "both height and width"),
        ({**GOOD, "height": 10**6, "width": 64}, 422, "height"),
        ({**GOOD, "model": "/etc/passwd"}, 422, "model"),
        ({**GOOD, "edits": [{"edit": "custom"}]}, 422, "edits"),
        ({**GOOD, "edits": [{"edit": "region", "words": "tree"}]}, 422, "a box or a mask"),
        ({**GOOD, "edits": [{"edit": "reweight", "words": "tree", "factor": 1e9}]}, 422, "factor"),
        ({**GOOD, "edits": [{"edit": "freeze", "run": 10**6}]}, 404, "run 1000000: there is none"),
        ({**GOOD, "layout": {"run": 10**6}}, 404, "run 1000000: there is none"),
        (
            {**GOOD, "layout": {"run": 1}, "edits": [{"edit": "ablate", "block": 1, "kind": "self"}]},
            422,
            "only weights",
        ),
    ],
)
def test_what_can_not_be_asked_is_refused_in_one_sentence(studio, asked, status, words):
    answer = studio.client.post("/api/runs", json=asked)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["error"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"edits": [{"edit": "reweight", "words": "elephant", "factor": 2}]}, "elephant"),
        ({"edits": [{"edit": "ablate", "block": 99, "kind": "self"}]}, "99"),
        ({"edits": [{"edit": "ablate", "block": 7, "kind": "self", "head": 77}]}, "77"),
        (
            {
                "edits": [
                    {
                        "edit": "region",
                        "words": "tree",
                        "mask": {"height": 8, "width": 8, "bits": "AA=="},
                    }
                ]
            },
            "expected 8 for 8x8 pixels",
        ),
        ({"height": 100, "width": 100}, "100"),
    ],
    ids=["word", "block", "head", "mask", "size"],
)
def test_what_the_model_can_not_do_fails_with_its_reason(studio, asked, words):
    run = studio.over(studio.make("a tree", **asked)["number"])
    assert run["state"] == "failed"
    assert words in run["error"]


@pytest.mark.parametrize(
    ("content", "text", "status", "words"),
    [
        (b"", "a tree", 400, "empty"),
        (b"GIF89a", "a tree", 400, "picture"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 64, "a tree", 400, ""),
        (b"x", " ", 400, "no text"),
    ],
)
def test_what_is_no_photo_is_refused(studio, content, text, status, words):
    answer = studio.client.post("/api/photos", params={"text": text}, content=content)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["error"]


def test_a_photo_that_is_too_large_is_refused(studio, monkeypatch):
    monkeypatch.setattr("attnscope.studio.bringing.MOST_PHOTO_BYTES", 2**20)
    answer = studio.client.post("/api/photos", params={"text": "a tree"}, content=b"x" * (2**20 + 1))
    assert answer.status_code == 413
    assert "more than 1 MiB" in answer.json()["error"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=10,
)
FIELDS = ("seed", "steps", "guidance_scale", "height", "edits", "layout", "before", "negative_prompt")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(field=st.sampled_from(FIELDS), value=JSON)
def test_no_question_makes_the_server_fail(studio, field, value):
    answer = studio.client.post("/api/runs", content=_json({"prompt": "a tree", "steps": 1, field: value}))
    assert answer.status_code < 500
    if answer.status_code == 200:
        studio.client.post(f"/api/runs/{answer.json()['number']}/stop")
        studio.over(answer.json()["number"])
    else:
        assert answer.json()["error"]


def _json(value):
    import json

    return json.dumps(value)

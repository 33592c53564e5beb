"""Why a word was drawn or not: the sentences and numbers of `attnscope.explain`, in two languages."""

from __future__ import annotations

import time

import pytest
from fastapi.testclient import TestClient

import attnscope
from attnscope.testing.made_traces import made_trace
from attnscope.viewer import explained
from attnscope.viewer.app import create_app
from viewer.waiting import waited


@pytest.fixture
def ready(client):
    assert waited(client, "/api/traces/0/explanation")["state"] == "ready"
    return client


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_sentences_are_those_of_python(ready, trace, lang):
    found = ready.get(f"/api/traces/0/explained?word=1&lang={lang}").json()
    expected = attnscope.explain(trace, "cat")
    word, run, limits = expected.paragraphs(lang)
    assert found["sentences"] == [word]
    assert (found["run"], found["limits"]) == (run, limits)


def test_every_word_has_its_verdict_and_numbers(ready, trace):
    found = ready.get("/api/traces/0/explained").json()
    assert found["sentences"] == []
    expected = attnscope.explain(trace)
    for at, (told, report) in enumerate(zip(found["words"], expected.words, strict=True)):
        assert told == {
            "word": at,
            "text": report.word,
            "says": report.verdict.says,
            "verdict": report.verdict.says,
            "share": pytest.approx(report.landing.share),
            "peak": pytest.approx(report.landing.peak),
            "leads": pytest.approx(report.landing.leads),
            "where": report.landing.where,
        }


def test_several_words_are_told_of_in_their_order(ready, trace):
    found = ready.get("/api/traces/0/explained?word=1&word=0").json()
    explanation = attnscope.explain(trace)
    assert found["sentences"] == [
        explanation.about(explanation[word]).paragraphs()[0] for word in ("cat", "red")
    ]


def test_the_negative_prompt_and_other_images_have_words_of_their_own(client, trace):
    of = "branch=uncond&image=1"
    assert waited(client, f"/api/traces/0/explanation?{of}")["state"] == "ready"
    found = client.get(f"/api/traces/0/explained?{of}&word=0").json()
    expected = attnscope.explain(trace, "cat", branch="uncond", image=1)
    assert found["sentences"] == expected.paragraphs()[:1]
    assert client.get("/api/traces/0/explained?word=0").status_code == 409


@pytest.mark.slow
def test_words_that_were_cut_off_are_told_of(pipe, seeded):
    with attnscope.capture(pipe, kind="cross") as trace:
        pipe("a cat " + "and the cat " * 30 + "on a star", num_inference_steps=1, generator=seeded())
    with TestClient(create_app([trace]), base_url="http://127.0.0.1") as client:
        assert waited(client, "/api/traces/0/explanation")["state"] == "ready"
        told = client.get("/api/traces/0/explained?lang=ja").json()["words"]
        numbers = [word["word"] for word in told if word["word"] is not None]
        assert numbers == list(range(len(trace.words())))
        star = told[-1]
        assert (star["text"], star["word"], star["says"], star["verdict"]) == (
            "star", None, "not read", "読まれていない"
        )  # fmt: skip
        assert star["share"] is None


def test_it_tells_how_far_it_is(client, trace):
    layers = len(trace.layers.of_kind("self")) * len(trace.steps)
    assert client.get("/api/traces/0/explanation").json()["state"] == "absent"
    state = waited(client, "/api/traces/0/explanation")
    assert (state["done"], state["total"]) == (layers, layers + 1)


def test_it_can_be_cancelled(client, monkeypatch):
    def slow(trace, branch, image, progress):
        for at in range(1000):
            progress(at, 1000)
            time.sleep(0.01)

    monkeypatch.setattr(explained, "explanation_of", slow)
    client.post("/api/traces/0/explanation")
    time.sleep(0.05)
    assert client.get("/api/traces/0/explanation").json()["state"] == "running"
    assert client.delete("/api/traces/0/explanation").json()["state"] == "absent"


@pytest.mark.parametrize(
    ("query", "status", "sentence"),
    [
        ("word=2", 404, "words [2]: this text has 2 words, counted from 0"),
        ("word=-1", 404, "words [-1]"),
        ("word=x", 422, "word.0: Input should be a valid integer"),
        ("word=99999999999999999999999", 404, "words [99999999999999999999999]"),
        ("&".join(["word=0"] * 9), 422, "word: List should have at most 8 items"),
        ("lang=de", 422, "lang: Input should be 'en' or 'ja', got 'de'"),
        ("image=1", 409, "not explained yet: POST /explanation"),
        ("image=99999", 422, "image"),
    ],
)
def test_what_can_not_be_told_is_refused(ready, query, status, sentence):
    answer = ready.get(f"/api/traces/0/explained?{query}")
    assert answer.status_code == status
    assert sentence in answer.json()["error"]


@pytest.mark.parametrize(
    ("query", "status", "sentence"),
    [("image=7", 404, "image 7"), ("branch=other", 404, "branch 'other'")],
)
def test_what_can_not_be_explained_is_refused(client, query, status, sentence):
    answer = client.post(f"/api/traces/0/explanation?{query}")
    assert answer.status_code == status
    assert sentence in answer.json()["error"]


def test_a_trace_of_self_attention_alone_tells_nothing_of_words():
    client = TestClient(create_app([made_trace(kinds=("self",))]), base_url="http://127.0.0.1")
    answer = client.post("/api/traces/0/explanation")
    assert answer.status_code == 404
    assert "no attention to the text" in answer.json()["error"]


def test_without_self_attention_there_are_no_segments():
    trace = made_trace(kinds=("cross",))
    with TestClient(create_app([trace]), base_url="http://127.0.0.1") as client:
        assert waited(client, "/api/traces/0/explanation")["state"] == "ready"
        found = client.get("/api/traces/0/explained?word=1").json()
        assert found["sentences"] == attnscope.explain(trace, "cat").paragraphs()[:1]


def test_a_prompt_whose_words_are_unknown_says_so():
    from attnscope.trace.tokens import unnamed_tokens

    trace = made_trace()
    trace.run.prompts, trace.run.tokens = [], [unnamed_tokens(5)]
    with TestClient(create_app([trace]), base_url="http://127.0.0.1") as client:
        state = waited(client, "/api/traces/0/explanation")
        assert state["state"] == "failed"
        assert "token" in state["error"]

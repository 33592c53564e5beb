"""Long work beside the answers: how far it is, its end, what is kept and what is dropped."""

from __future__ import annotations

import threading
import time

import pytest

from attnscope.errors import BusyError, ParameterError
from attnscope.viewer import background
from attnscope.viewer.background import Background


@pytest.fixture
def dropped():
    return []


@pytest.fixture
def work(dropped):
    made = Background("test", most=2, most_bytes=100, size_of=len, drop=dropped.append)
    yield made
    made.close()


def ended(work, key):
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if (state := work.info(key).state) != "running":
            return state
        time.sleep(0.005)
    raise AssertionError("it does not end")


def done(work, key, value):
    work.start(key, lambda progress: value)
    assert ended(work, key) == "ready"
    time.sleep(0.02)  # what is too old goes right after


def test_it_tells_how_far_it_is_and_keeps_the_result(work):
    go, at = threading.Event(), threading.Event()

    def make(progress):
        progress(2, 5)
        at.set()
        assert go.wait(10)
        return "made"

    work.start("a", make)
    assert at.wait(10)
    assert work.info("a").model_dump() == {"state": "running", "done": 2, "total": 5, "error": ""}
    assert work.start("a", None) is work.get("a")
    go.set()
    assert ended(work, "a") == "ready"
    assert work.get("a").value == "made"
    assert work.start("a", None) is work.get("a")
    assert work.info("b").state == "absent"


def test_a_failure_is_told_and_tried_again(work):
    def fail(progress):
        raise ParameterError("no such thing")

    work.start("a", fail)
    assert ended(work, "a") == "failed"
    assert work.info("a").error == "no such thing"
    done(work, "a", "made")
    work.start("b", lambda progress: 1 / 0)
    ended(work, "b")
    assert work.info("b").error == "division by zero"


def test_cancelled_work_ends_at_its_next_progress_and_frees_the_worker(work):
    told = []

    def slow(progress):
        for at in range(10_000):
            progress(at, 10_000)
            told.append(at)
            time.sleep(0.005)

    work.start("a", slow)
    time.sleep(0.05)
    work.cancel("a")
    assert work.get("a") is None
    done(work, "b", "made")
    count = len(told)
    time.sleep(0.03)
    assert 0 < count == len(told) < 10_000


def test_what_was_made_after_it_was_cancelled_is_dropped(work, dropped):
    go = threading.Event()
    work.start("a", lambda progress: go.wait(10) and "late")
    time.sleep(0.02)
    work.cancel("a")
    go.set()
    done(work, "b", "made")
    assert dropped == ["late"]


def test_what_is_ready_is_not_cancelled(work):
    done(work, "a", "made")
    work.cancel("a")
    assert work.get("a").value == "made"


def test_the_last_results_are_kept_by_number_and_by_size(work, dropped):
    for key in "abc":
        done(work, key, key)
    assert dropped == ["a"]
    work.get("b")  # asked for again
    done(work, "d", "d")
    assert dropped == ["a", "c"]
    done(work, "large", "x" * 200)  # the newest is kept whatever its size
    assert sorted(dropped) == ["a", "b", "c", "d"]
    assert work.get("large").value == "x" * 200
    done(work, "e", "e")
    assert dropped[-1] == "x" * 200


def test_too_much_is_refused(work):
    go = threading.Event()
    for key in range(background.MOST_WAITING + 1):
        work.start(key, lambda progress: go.wait(10) and "made")
    with pytest.raises(BusyError, match="waiting already"):
        work.start("one more", None)
    go.set()
    assert ended(work, background.MOST_WAITING) == "ready"


def test_failures_are_not_kept_for_ever(work):
    for key in range(background.MOST_FAILED + 3):
        work.start(key, lambda progress: 1 / 0)
        ended(work, key)
    time.sleep(0.02)
    assert [work.info(key).state for key in (0, 2, 3)] == ["absent", "absent", "failed"]


def test_only_what_is_still_of_use_is_kept(work, dropped):
    done(work, "a", "of a")
    done(work, "b", "of b")
    work.keep_only(lambda key: key == "b")
    assert dropped == ["of a"]
    assert work.info("a").state == "absent"


def test_closing_drops_everything_also_what_is_under_way(work, dropped):
    go = threading.Event()
    done(work, "a", "made")
    work.start("b", lambda progress: go.wait(10) and "late")
    work.start("c", lambda progress: "never begun")
    time.sleep(0.02)
    work.close()
    assert dropped == ["made"]
    go.set()
    until = time.monotonic() + 5
    while dropped != ["made", "late"] and time.monotonic() < until:
        time.sleep(0.01)
    assert dropped == ["made", "late"]
    done(work, "a", "again")

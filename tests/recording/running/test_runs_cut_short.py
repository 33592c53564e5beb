"""Whatever ends a run early, in whichever thread, leaves nothing of its capture."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLate

import pytest
import torch
from thread_cases import MIDDLE, at, captured, in_a_thread
from torch.overrides import _get_current_function_mode_stack

import attnscope
from capture_cases import leftovers, run


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), KeyboardInterrupt(), SystemExit()])
@pytest.mark.parametrize("where", ["here", "in a pool"])
def test_whatever_ends_a_layer_leaves_no_mode_on_in_its_thread(pipe, seeded, error, where):
    def fail():
        raise error

    def modes():
        return _get_current_function_mode_stack()

    handle = at(pipe.unet.get_submodule(MIDDLE).to_q, 1, fail)
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(type(error)), attnscope.capture(pipe) as trace:
            if where == "here":
                run(pipe, seeded)
            pool.submit(run, pipe, seeded).result()
        handle.remove()
        assert pool.submit(modes).result() == modes() == []
    assert len(trace.steps) == 1
    assert not leftovers(pipe)
    assert captured(pipe, seeded).steps


def test_a_capture_may_be_left_while_a_worker_is_in_the_middle_of_a_layer(pipe, seeded):
    plain, inside, go_on = run(pipe, seeded), threading.Event(), threading.Event()

    def stand_still():
        inside.set()
        assert go_on.wait(20)

    handle = at(pipe.unet.get_submodule(MIDDLE).to_q, 1, stand_still)
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(TooLate), attnscope.capture(pipe) as trace:
            future = pool.submit(run, pipe, seeded)
            assert inside.wait(20)
            future.result(timeout=0)
        assert _get_current_function_mode_stack() == []
        assert len(trace.steps) == 1
        go_on.set()
        assert torch.equal(future.result(), plain)
        assert pool.submit(_get_current_function_mode_stack).result() == []
    handle.remove()
    assert len(trace.steps) == 1
    assert not leftovers(pipe)


@pytest.mark.parametrize("dropped_in", ["here", "another thread"])
def test_a_generator_that_is_dropped_half_way_leaves_its_capture(pipe, seeded, dropped_in):
    def pictures():
        with attnscope.capture(pipe, kind="cross"):
            while True:
                yield run(pipe, seeded)

    held = [pictures()]
    plain = next(held[0])

    def drop():
        held.clear()
        gc.collect()

    drop() if dropped_in == "here" else in_a_thread(drop)
    assert not leftovers(pipe)
    assert torch.equal(run(pipe, seeded), plain)
    assert captured(pipe, seeded).steps

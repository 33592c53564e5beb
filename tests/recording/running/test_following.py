"""Which of the runs of several threads and tasks is a capture's own; the others pass by untouched."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from thread_cases import MIDDLE, assert_same, at, captured, in_a_thread
from torch.overrides import _get_current_function_mode_stack

import attnscope
from attnscope.recording.running.passes import IncompleteCaptureWarning
from capture_cases import leftovers, run

# Others pass by


@pytest.mark.thorough
@pytest.mark.parametrize("theirs", ["the same pipeline", "another pipeline", "the U-Net by hand"])
@pytest.mark.parametrize("when", ["before the capture", "inside, before its run", "in the middle of its run"])
def test_a_thread_that_does_not_capture_is_neither_recorded_nor_harmed(pipe, twin, seeded, theirs, when):
    """They stand still at a layer until the captured run has come to one of its own, and go on beside it."""
    options = {"num_inference_steps": 3}
    sample, text = torch.randn(1, 4, 16, 16, generator=seeded()), torch.randn(1, 77, 16, generator=seeded())

    def their_run():
        if theirs == "the U-Net by hand":
            with torch.no_grad():
                return torch.stack(
                    [pipe.unet(sample, step, encoder_hidden_states=text).sample for step in (9, 5, 1)]
                )
        return run(pipe if theirs == "the same pipeline" else twin, seeded, prompt="the star", **options)

    plain, expected = their_run(), captured(pipe, seeded, **options)
    picture = run(pipe, seeded, **options)
    begun, may_go_on, mine = threading.Event(), threading.Event(), threading.current_thread()

    def meet(*_):
        if threading.current_thread() is not mine and not begun.is_set():
            begun.set()
            assert may_go_on.wait(20)

    modes = []

    def their_thread():
        result = their_run()
        modes.extend(_get_current_function_mode_stack())
        return result

    handles = [pipe.unet.get_submodule(MIDDLE).to_out[0].register_forward_pre_hook(meet)]
    with ThreadPoolExecutor(1) as pool:

        def start():
            futures.append(pool.submit(their_thread))
            assert begun.wait(20)

        futures = []
        if when == "before the capture":
            start()
        try:
            with attnscope.capture(pipe) as trace:
                if when == "inside, before its run":
                    start()
                if when == "in the middle of its run":
                    handles.append(at(pipe.unet.get_submodule(MIDDLE), 1, start))
                handles.append(at(pipe.unet.get_submodule(MIDDLE), 2, may_go_on.set))
                mine_again = run(pipe, seeded, **options)
            result = futures[0].result()
        finally:
            may_go_on.set()
            for handle in handles:
                handle.remove()
    assert torch.equal(result, plain)
    assert torch.equal(mine_again, picture)
    assert len(trace.passes) == 1
    assert_same(trace, expected)
    assert modes == []
    assert not leftovers(pipe) + leftovers(twin)


@pytest.mark.parametrize(
    "options", [{}, {"budget": "30MB"}, {"folder": "run.trace"}, {"folder": "run.trace", "budget": "30MB"}]
)
def test_what_was_taken_for_the_captured_run_is_dropped_when_that_comes(
    pipe, seeded, tmp_path, monkeypatch, options
):
    """The other thread is at its second step, the first of which was recorded, when the captured run begins."""
    monkeypatch.chdir(tmp_path)
    expected, begun, go_on = captured(pipe, seeded), threading.Event(), threading.Event()

    def wait(pipeline, step, timestep, tensors):
        begun.set()
        assert go_on.wait(20)
        return tensors

    def theirs():
        return run(pipe, seeded, prompt="the star", callback_on_step_end=wait, num_inference_steps=3)

    keep = {"words": attnscope.Reduced("cross")}
    with ThreadPoolExecutor(1) as pool, attnscope.capture(pipe, keep=keep, **options) as trace:
        future = pool.submit(theirs)
        assert begun.wait(20)
        assert len(trace.calls) == 1
        run(pipe, seeded)
        go_on.set()
        assert torch.isfinite(future.result()).all()
    assert len(trace.passes) == 1
    assert_same(trace, expected)
    if "folder" in options:
        loaded = attnscope.load_trace("run.trace")
        assert_same(loaded, expected)
        assert (
            len(list((tmp_path / "run.trace").glob("*.safetensors"))) == 3
        )  # two steps and the reduced maps
    assert not leftovers(pipe)


def test_after_its_own_run_a_capture_follows_no_other_thread(pipe, twin, seeded):
    with attnscope.capture(pipe) as trace:
        run(pipe, seeded)
        for theirs in (pipe, twin):
            in_a_thread(lambda theirs=theirs: run(theirs, seeded, prompt="the star"))
    assert len(trace.passes) == 1
    assert trace.prompt() == "a red cat and the star"


def test_a_thread_with_the_number_of_one_that_is_gone_is_another_one(pipe, twin, seeded):
    with attnscope.capture(pipe) as trace:
        in_a_thread(lambda: run(pipe, seeded))
        for _ in range(3):
            in_a_thread(lambda: run(twin, seeded, prompt="the star"))  # the system gives its number again
    assert len(trace.passes) == 1


def test_an_error_in_another_threads_run_is_its_own(pipe, twin, seeded):
    expected, mine = captured(pipe, seeded), threading.current_thread()

    def raise_there(*_):
        if threading.current_thread() is not mine:
            raise ZeroDivisionError("theirs")

    module = pipe.unet.get_submodule(MIDDLE)

    def theirs():
        with pytest.raises(ZeroDivisionError, match="theirs"):
            run(twin, seeded)
        return _get_current_function_mode_stack()

    handles = [module.to_q.register_forward_pre_hook(raise_there)]
    modes = []
    handles.append(at(module, 1, lambda: modes.append(in_a_thread(theirs))))
    trace = captured(pipe, seeded)
    for handle in handles:
        handle.remove()
    assert modes == [[]]
    assert_same(trace, expected)


# Where a capture's own run may be


async def _to_thread(pipe, seeded):
    with attnscope.capture(pipe) as trace:
        await asyncio.to_thread(run, pipe, seeded)
    return trace


def _pool(pipe, seeded):
    with ThreadPoolExecutor(1) as pool, attnscope.capture(pipe) as trace:
        pool.submit(run, pipe, seeded).result()
    return trace


def _context(pipe, seeded):
    with ThreadPoolExecutor(1) as pool, attnscope.capture(pipe) as trace:
        pool.submit(contextvars.copy_context().run, run, pipe, seeded).result()
    return trace


def _left_elsewhere(pipe, seeded):
    asked = attnscope.capture(pipe)
    trace = in_a_thread(asked.__enter__)
    in_a_thread(lambda: run(pipe, seeded))
    in_a_thread(lambda: asked.__exit__(None, None, None))
    return trace


def _whole_in_a_thread(pipe, seeded):
    return in_a_thread(lambda: captured(pipe, seeded))


WAYS = {
    "a pool": _pool,
    "a pool, with the context": _context,
    "entered, run and left in three threads": _left_elsewhere,
    "all in a thread": _whole_in_a_thread,
    "asyncio.to_thread": lambda pipe, seeded: asyncio.run(_to_thread(pipe, seeded)),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_run_in_another_thread_is_captured_as_here(pipe, seeded, way):
    assert_same(way(pipe, seeded), captured(pipe, seeded))
    assert not leftovers(pipe)


def test_a_bare_model_is_captured_in_a_thread_with_the_captures_context(pipe):
    sample, text = torch.zeros(1, 4, 16, 16), torch.zeros(1, 77, 16)
    with torch.no_grad(), attnscope.capture(pipe.unet, kind="cross") as trace:
        asyncio.run(asyncio.to_thread(pipe.unet, sample, 5, text))
    assert len(trace.steps) == 1


def test_tasks_of_one_loop_take_turns_and_only_the_capturing_one_is_recorded(pipe):
    sample, text = torch.randn(1, 4, 16, 16), torch.randn(1, 77, 16)

    async def steps(timesteps):
        outputs = []
        for timestep in timesteps:
            await asyncio.sleep(0)
            with torch.no_grad():
                outputs.append(pipe.unet(sample, timestep, text).sample)
        return outputs

    async def capturing():
        with attnscope.capture(pipe.unet, kind="cross") as trace:
            await steps((9, 7, 5))
        return trace

    async def main():
        return await asyncio.gather(steps((8, 6, 4, 2)), capturing(), steps((3, 2, 1)))

    before, trace, after = asyncio.run(main())
    assert [step.timestep for step in trace.steps] == [9.0, 7.0, 5.0]
    assert len(trace.passes) == 1
    assert torch.equal(before[3], after[1])


def test_two_runs_of_its_own_at_a_time_are_one_and_a_warning(pipe, twin, seeded):
    together = threading.Barrier(2, timeout=20)

    def meet(pipeline, step, timestep, tensors):
        together.wait()
        return tensors

    async def both():
        with attnscope.capture([pipe, twin], kind="cross") as trace:
            runs = (asyncio.to_thread(run, each, seeded, callback_on_step_end=meet) for each in (pipe, twin))
            await asyncio.gather(*runs)
        return trace

    with pytest.warns(IncompleteCaptureWarning, match="another thread, beside the recorded one"):
        trace = asyncio.run(both())
    assert len(trace.passes) == 1
    assert len(trace.steps) == 2

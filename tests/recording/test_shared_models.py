"""Several threads and one model: a capture has its own run, and everybody else's passes by untouched."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLate
from copy import deepcopy

import pytest
import torch
from diffusers import StableDiffusionPipeline
from torch.overrides import _get_current_function_mode_stack

import attnscope
from attnscope.errors import CaptureError
from attnscope.recording import passes as passes_module
from attnscope.recording.passes import IncompleteCaptureWarning
from attnscope.testing import tiny_unet
from capture_cases import leftovers, run

MIDDLE = "mid_block.attentions.0.transformer_blocks.0.attn1"


@pytest.fixture
def other(pipe):
    """Another pipeline with the same U-Net, as a server has one for each thread."""
    of_its_own = {name: deepcopy(getattr(pipe, name)) for name in ("scheduler", "tokenizer")}
    twin = StableDiffusionPipeline(**pipe.components | of_its_own)  # neither of them takes two threads
    twin.set_progress_bar_config(disable=True)
    return twin


def in_a_thread(work):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def tensors(trace):
    return [
        trace.record(block=layer.block, kind=layer.kind, step=step.index)
        for step in trace.steps
        for layer in trace.layers
    ]


def assert_same(trace, expected):
    assert trace.layers == expected.layers
    assert trace.calls == expected.calls
    assert (trace.run.prompts, trace.run.tokens) == (expected.run.prompts, expected.run.tokens)
    for one, wanted in zip(tensors(trace), tensors(expected), strict=True):
        assert torch.equal(one.query, wanted.query)
        assert torch.equal(one.key, wanted.key)


def captured(pipe, seeded, **options):
    with attnscope.capture(pipe) as trace:
        run(pipe, seeded, **options)
    return trace


def at(module, step, do):
    """Do something at the n-th run of a module, from 0, while it runs."""
    count = iter(range(10**6))
    return module.register_forward_pre_hook(lambda *_: do() if next(count) == step else None)


# One owner


@pytest.mark.parametrize("second", ["the pipeline", "its U-Net", "another pipeline"])
def test_the_second_capture_is_refused_and_the_first_one_unharmed(pipe, other, seeded, second):
    thing = {"the pipeline": pipe, "its U-Net": pipe.unet, "another pipeline": other}[second]
    expected, refused = captured(pipe, seeded), []

    def capture_too():
        with pytest.raises(
            CaptureError, match=r"captured already, by thread 'MainThread'.* one threading.Lock\(\)"
        ) as caught:
            with attnscope.capture(thing):
                pytest.fail("entered")
        refused.append(caught.value)

    handle = at(pipe.unet.get_submodule(MIDDLE), 1, lambda: in_a_thread(capture_too))
    trace = captured(pipe, seeded)
    handle.remove()
    assert len(refused) == 1
    assert_same(trace, expected)
    assert not leftovers(pipe)
    assert torch.equal(run(pipe, seeded), run(pipe, seeded))


def test_two_threads_that_enter_at_once_have_one_owner(pipe, seeded):
    plain = run(pipe, seeded)
    for _ in range(6):
        together, alone, outcomes = threading.Barrier(3), threading.Lock(), []

        def both(together=together, alone=alone, outcomes=outcomes):
            together.wait()
            try:
                with attnscope.capture(pipe, kind="cross"), alone:
                    outcomes.append(torch.equal(run(pipe, seeded), plain))
            except CaptureError as error:
                outcomes.append("already" in str(error))

        with ThreadPoolExecutor(3) as pool:
            for future in [pool.submit(both) for _ in range(3)]:
                future.result()
        assert outcomes == [True] * 3
        assert not leftovers(pipe)
    assert torch.equal(run(pipe, seeded), plain)


def test_with_a_lock_captures_take_turns(pipe, seeded):
    lock = threading.Lock()  # the remedy of the error

    def in_turn(prompt):
        with lock, attnscope.capture(pipe, kind="cross") as trace:
            run(pipe, seeded, prompt=prompt)
        return trace.prompt()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(in_turn, ["a cat", "the star", "grass", "a red cat"])) == [
            "a cat",
            "the star",
            "grass",
            "a red cat",
        ]


def test_models_of_several_threads_are_captured_at_the_same_time(tmp_path):
    unets = [tiny_unet(sample_size=8) for _ in range(3)]
    sample, text = torch.randn(1, 4, 8, 8), torch.randn(1, 9, 16)

    def record(unet):
        with torch.no_grad(), attnscope.capture(unet, kind="cross") as trace:
            for step in range(3):
                unet(sample, 900 - step, encoder_hidden_states=text)
        return trace

    expected = record(unets[0])
    with ThreadPoolExecutor(3) as pool:
        for trace in pool.map(record, unets * 3 if False else unets):
            assert [step.timestep for step in trace.steps] == [900.0, 899.0, 898.0]
            for one, wanted in zip(tensors(trace), tensors(expected), strict=True):
                assert torch.equal(one.query, wanted.query)


# Everything is taken off


def test_what_others_have_removed_meanwhile_does_not_stop_the_leaving(pipe, seeded):
    with attnscope.capture(pipe):
        run(pipe, seeded)
        attention = pipe.unet.get_submodule(MIDDLE)
        del attention.get_attention_scores
        del pipe.encode_prompt
        for module in pipe.unet.modules():
            module._forward_pre_hooks.clear()
    assert not leftovers(pipe)
    assert captured(pipe, seeded).prompt() == "a red cat and the star"


@pytest.mark.parametrize("error", [RuntimeError("step"), KeyboardInterrupt()])
def test_a_step_of_leaving_that_fails_keeps_none_of_the_others_back(pipe, seeded, monkeypatch, error):
    original = passes_module.Model.detach

    def detach(model):
        original(model)
        raise error

    monkeypatch.setattr(passes_module.Model, "detach", detach)
    with pytest.raises(type(error)), attnscope.capture(pipe):
        run(pipe, seeded)
    monkeypatch.undo()
    assert not leftovers(pipe)
    assert captured(pipe, seeded).steps


@pytest.mark.parametrize("error", [RuntimeError("full"), KeyboardInterrupt()])
@pytest.mark.parametrize("nth", [0, 7])
def test_a_capture_that_fails_while_it_is_put_on_leaves_nothing(pipe, seeded, monkeypatch, error, nth):
    modules = [module for module in pipe.unet.modules() if hasattr(module, "get_attention_scores")]
    plain = run(pipe, seeded)

    def fail(*_, **__):
        raise error

    broken = modules[nth]
    owner = pipe.unet if nth == 0 else pipe.image_processor
    if nth == 0:
        monkeypatch.setattr(owner, "register_forward_hook", fail)
    else:
        monkeypatch.setattr(passes_module.Model, "attach", fail)
    with pytest.raises(type(error)), attnscope.capture(pipe):
        pytest.fail("entered")
    monkeypatch.undo()
    assert "forward" not in vars(broken)
    assert not leftovers(pipe)
    assert torch.equal(run(pipe, seeded), plain)
    assert captured(pipe, seeded).steps


# Others pass by


@pytest.mark.parametrize("theirs", ["the same pipeline", "another pipeline", "the U-Net by hand"])
@pytest.mark.parametrize("when", ["before the capture", "inside, before its run", "in the middle of its run"])
def test_a_thread_that_does_not_capture_is_neither_recorded_nor_harmed(pipe, other, seeded, theirs, when):
    """They stand still at a layer until the captured run has come to one of its own, and go on beside it."""
    options = {"num_inference_steps": 3}
    sample, text = torch.randn(1, 4, 16, 16, generator=seeded()), torch.randn(1, 77, 16, generator=seeded())

    def their_run():
        if theirs == "the U-Net by hand":
            with torch.no_grad():
                return torch.stack(
                    [pipe.unet(sample, step, encoder_hidden_states=text).sample for step in (9, 5, 1)]
                )
        return run(pipe if theirs == "the same pipeline" else other, seeded, prompt="the star", **options)

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
    assert not leftovers(pipe) + leftovers(other)


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


def test_after_its_own_run_a_capture_follows_no_other_thread(pipe, other, seeded):
    with attnscope.capture(pipe) as trace:
        run(pipe, seeded)
        for theirs in (pipe, other):
            in_a_thread(lambda theirs=theirs: run(theirs, seeded, prompt="the star"))
    assert len(trace.passes) == 1
    assert trace.prompt() == "a red cat and the star"


def test_a_thread_with_the_number_of_one_that_is_gone_is_another_one(pipe, other, seeded):
    with attnscope.capture(pipe) as trace:
        in_a_thread(lambda: run(pipe, seeded))
        for _ in range(3):
            in_a_thread(lambda: run(other, seeded, prompt="the star"))  # the system gives its number again
    assert len(trace.passes) == 1


def test_an_error_in_another_threads_run_is_its_own(pipe, other, seeded):
    expected, mine = captured(pipe, seeded), threading.current_thread()

    def raise_there(*_):
        if threading.current_thread() is not mine:
            raise ZeroDivisionError("theirs")

    module = pipe.unet.get_submodule(MIDDLE)

    def theirs():
        with pytest.raises(ZeroDivisionError, match="theirs"):
            run(other, seeded)
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


def test_two_runs_of_its_own_at_a_time_are_one_and_a_warning(pipe, other, seeded):
    together = threading.Barrier(2, timeout=20)

    def meet(pipeline, step, timestep, tensors):
        together.wait()
        return tensors

    async def both():
        with attnscope.capture([pipe, other], kind="cross") as trace:
            runs = (asyncio.to_thread(run, each, seeded, callback_on_step_end=meet) for each in (pipe, other))
            await asyncio.gather(*runs)
        return trace

    with pytest.warns(IncompleteCaptureWarning, match="another thread beside the one that was recorded"):
        trace = asyncio.run(both())
    assert len(trace.passes) == 1
    assert len(trace.steps) == 2


# Runs that are cut short


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

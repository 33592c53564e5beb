"""Several threads and one model: a capture has its own run, and everybody else's passes by untouched."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from thread_cases import MIDDLE, assert_same, at, captured, in_a_thread, tensors

import attnscope
from attnscope.errors import CaptureError
from attnscope.recording.running import passes as passes_module
from attnscope.testing import tiny_unet
from capture_cases import leftovers, run

# One owner


@pytest.mark.parametrize("second", ["the pipeline", "its U-Net", "another pipeline"])
def test_the_second_capture_is_refused_and_the_first_one_unharmed(pipe, twin, seeded, second):
    thing = {"the pipeline": pipe, "its U-Net": pipe.unet, "another pipeline": twin}[second]
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

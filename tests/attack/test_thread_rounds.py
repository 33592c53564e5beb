"""One model and many threads: captures, plain runs, errors and questions, in any order and at random moments."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import pytest
import torch
from diffusers import StableDiffusionPipeline
from torch.overrides import _get_current_function_mode_stack

import attnscope
from attnscope.errors import CaptureError
from capture_cases import leftovers, run

pytestmark = pytest.mark.attack
PROMPTS = ("a red cat", "the star on grass", "grass")
SMALL = {"height": 64, "width": 64, "num_inference_steps": 2}
THREADS = 4


class Stopped(BaseException):
    """As KeyboardInterrupt, in any thread."""


class Machine:
    """One U-Net, a pipeline for each thread, and what runs and captures give when nothing else goes on."""

    def __init__(self, pipe, seeded) -> None:
        self.seeded = seeded
        self.pipes = [self.twin(pipe) for _ in range(THREADS)]
        self.pictures = {prompt: self.picture(self.pipes[0], prompt) for prompt in PROMPTS}
        self.numbers = {}
        for prompt in PROMPTS:
            with attnscope.capture(self.pipes[0]) as trace:
                self.picture(self.pipes[0], prompt)
            self.numbers[prompt] = numbers(trace)

    @staticmethod
    def twin(pipe):
        own = {
            name: deepcopy(getattr(pipe, name)) for name in ("scheduler", "tokenizer")
        }  # neither is for threads
        twin = StableDiffusionPipeline(**pipe.components | own)
        twin.set_progress_bar_config(disable=True)
        return twin

    def picture(self, pipe, prompt, **options):
        return run(pipe, self.seeded, prompt=prompt, **SMALL, **options)


def numbers(trace):
    """All that a trace of one pass holds."""
    assert len(trace.passes) == 1
    records = [
        trace.record(block=layer.block, kind=layer.kind, step=step.index)
        for step in trace.steps
        for layer in trace.layers
    ]
    return trace.prompt(), trace.tokens(), trace.calls, [(record.query, record.key) for record in records]


def same(trace, expected):
    prompt, tokens, calls, tensors = numbers(trace)
    assert (prompt, tokens, calls) == expected[:3]
    return all(
        torch.equal(a, b)
        for one, other in zip(tensors, expected[3], strict=True)
        for a, b in zip(one, other, strict=True)
    )


# What a thread may do. Each says what came of it.


def plain(machine, pipe, prompt, random):
    assert torch.equal(machine.picture(pipe, prompt), machine.pictures[prompt])
    return "plain runs right"


def capture_it(machine, pipe, prompt, random, work=lambda make: make()):
    try:
        with attnscope.capture(pipe) as trace:
            picture = work(lambda: machine.picture(pipe, prompt))
    except CaptureError:
        return "captures refused"
    assert torch.equal(picture, machine.pictures[prompt])
    assert same(trace, machine.numbers[prompt])
    with random.choice([torch.no_grad, torch.inference_mode])():
        assert trace.probabilities(block=1, kind="cross", mean="head").isfinite().all()
    return "captures right"


def capture_in_a_pool(machine, pipe, prompt, random):
    def work(make):
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(
                random.choice([lambda: make(), lambda: contextvars.Context().run(make)])
            ).result()

    return capture_it(machine, pipe, prompt, random, work)


def capture_in_a_loop(machine, pipe, prompt, random):
    return capture_it(machine, pipe, prompt, random, lambda make: asyncio.run(asyncio.to_thread(make)))


def stopped(machine, pipe, prompt, random):
    """A run, captured or not, that ends at some layer."""
    here, left = threading.current_thread(), [random.randrange(40)]

    def stop(*_):
        if threading.current_thread() is here:
            left[0] -= 1
            if left[0] < 0:
                raise random.choice([Stopped, ZeroDivisionError, KeyboardInterrupt])

    layers = [module.to_q for module in pipe.unet.modules() if hasattr(module, "to_q")]
    handles = [layer.register_forward_pre_hook(stop) for layer in layers]
    try:
        with random.choice([lambda: attnscope.capture(pipe), torch.no_grad])():
            machine.picture(pipe, prompt)
    except CaptureError:
        return "captures refused"
    except (Stopped, ZeroDivisionError, KeyboardInterrupt):
        return "runs stopped"
    finally:
        for handle in handles:
            handle.remove()
    raise AssertionError("it did not stop")


def generator(machine, pipe, prompt, random):
    def pictures():
        with attnscope.capture(pipe):
            yield machine.picture(pipe, prompt)
            yield machine.picture(pipe, prompt)

    held = [pictures()]
    try:
        assert torch.equal(next(held[0]), machine.pictures[prompt])
    except CaptureError:
        return "captures refused"
    held.clear()
    gc.collect()
    return "generators dropped"


DO = (plain, plain, capture_it, capture_it, capture_in_a_pool, capture_in_a_loop, stopped, generator)


@pytest.fixture
def machine(pipe, seeded, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    threads = set(threading.enumerate())
    machine = Machine(pipe, seeded)
    yield machine
    for each in machine.pipes:
        assert not leftovers(each)
    assert torch.equal(machine.picture(machine.pipes[0], PROMPTS[0]), machine.pictures[PROMPTS[0]])
    assert not list(tmp_path.iterdir())
    left = set(threading.enumerate()) - threads
    assert not [thread for thread in left if "tqdm" not in thread.name]  # progress bars keep one


@pytest.mark.thorough
def test_rounds_of_threads(machine, attack):
    for _ in attack.tries(16):
        together = threading.Barrier(THREADS)
        jobs = [
            (attack.random.choice(DO), attack.random.choice(PROMPTS), attack.random.randrange(10**9))
            for _ in range(THREADS)
        ]

        def work(number, jobs=jobs, together=together):
            do, prompt, seed = jobs[number]
            random = type(attack.random)(seed)
            together.wait(20)
            time.sleep(random.random() * 0.02)
            outcome = do(machine, machine.pipes[number], prompt, random)
            assert _get_current_function_mode_stack() == []
            return outcome

        begun = time.monotonic()
        with ThreadPoolExecutor(THREADS) as pool:
            for outcome in pool.map(work, range(THREADS)):
                attack.count(outcome)
        assert time.monotonic() - begun < 20
        assert not leftovers(machine.pipes[0])


@pytest.mark.thorough
def test_rounds_of_threads_with_one_pipeline(machine, attack):
    """One thread captures it; others run the very same one, in the same number of steps, and begin at any moment."""
    pipe = machine.pipes[0]
    for _ in attack.tries(8):
        together, pause = threading.Barrier(3), [attack.random.random() * 0.05 for _ in range(3)]
        prompts = [attack.random.choice(PROMPTS) for _ in range(3)]
        embedded = {prompt: pipe.encode_prompt(prompt, "cpu", 1, True) for prompt in PROMPTS}

        def theirs(number, together=together, pause=pause, prompts=prompts, embedded=embedded):
            together.wait(20)
            time.sleep(pause[number])
            positive, negative = embedded[prompts[number]]
            picture = machine.picture(pipe, None, prompt_embeds=positive, negative_prompt_embeds=negative)
            return torch.equal(picture, machine.pictures[prompts[number]]), _get_current_function_mode_stack()

        with ThreadPoolExecutor(2) as pool:
            futures = [pool.submit(theirs, number) for number in (1, 2)]
            is_early = attack.random.random() < 0.5
            if is_early:
                together.wait(20)
            with attnscope.capture(pipe) as trace:
                if not is_early:
                    together.wait(20)
                picture = machine.picture(pipe, prompts[0])
            assert [future.result() for future in futures] == [(True, [])] * 2
        assert torch.equal(picture, machine.pictures[prompts[0]])
        assert same(trace, machine.numbers[prompts[0]])
        attack.count("captures right beside the same pipeline")


@pytest.mark.thorough
def test_questions_of_many_threads_to_one_trace(machine, attack):
    pipe = machine.pipes[0]
    with (
        torch.inference_mode(),
        attnscope.capture(pipe, keep={"words": attnscope.Reduced("cross")}, budget="3MB") as trace,
    ):
        machine.picture(pipe, PROMPTS[0])
    questions = {
        "P": lambda: trace.probabilities(block=1, kind="self"),
        "a word": lambda: torch.as_tensor(attnscope.heat_map(trace, "cat").array),
        "reduced": lambda: trace.reduced["words"].map(block=2),
        "segments": lambda: torch.as_tensor(attnscope.segment_trace(trace).labels),
    }
    answers = {name: ask() for name, ask in questions.items()}

    def ask(seed):
        random = type(attack.random)(seed)
        name = random.choice(list(questions))
        with random.choice([torch.inference_mode, torch.no_grad, torch.enable_grad])():
            return torch.equal(questions[name](), answers[name])

    with ThreadPoolExecutor(THREADS) as pool:
        for is_right in pool.map(ask, [attack.random.randrange(10**9) for _ in attack.tries(60)]):
            assert is_right
            attack.count("answers right")

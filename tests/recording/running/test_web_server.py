"""A FastAPI application that shares one model: some requests are captured, others run plain at the same time."""

import asyncio
import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import pytest
import torch
from fastapi import FastAPI

import attnscope
from capture_cases import leftovers

pytest.importorskip("httpx", reason="FastAPI's test client needs httpx, which transformers 5 brings along")
from fastapi.testclient import TestClient

PROMPTS = ("a red cat", "the star", "a cat and the star")
STEPS = 3


def own_pipe(pipe):
    """A request's own pipeline of the shared networks: schedulers and tokenizers count in themselves."""
    own = {name: deepcopy(getattr(pipe, name)) for name in ("scheduler", "tokenizer")}
    made = type(pipe)(**{**pipe.components, **own}, requires_safety_checker=False)
    made.set_progress_bar_config(disable=True)
    return made


def picture(pipe, prompt):
    generator = torch.Generator().manual_seed(0)
    pixels = pipe(prompt, num_inference_steps=STEPS, output_type="np", generator=generator).images
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def facts(trace):
    probability = trace.probabilities(layer=trace.layers[2, "cross"], branch="cond")
    return {
        "steps": [step.index for step in trace.steps],
        "prompt": trace.run.prompts[0],
        "attention": hashlib.sha256(probability.numpy().tobytes()).hexdigest(),
    }


def application(pipe, together):
    """Plain handlers run in threads of a pool; the `async` one runs in the loop's own thread."""
    app, one_at_a_time = FastAPI(), threading.Lock()

    @app.get("/plain")
    def plain(prompt: str):
        own = own_pipe(pipe)
        together()
        return {"picture": picture(own, prompt)}

    @app.get("/captured")
    def captured(prompt: str):
        own = own_pipe(pipe)
        together()
        with one_at_a_time, attnscope.capture(own) as trace:
            made = picture(own, prompt)
        return {"picture": made, **facts(trace)}

    @app.get("/captured-async")
    async def captured_async(prompt: str):
        def work():
            own = own_pipe(pipe)
            together()
            with one_at_a_time, attnscope.capture(own) as trace:
                return {"picture": picture(own, prompt), **facts(trace)}

        return await asyncio.to_thread(work)

    return app


@pytest.fixture
def expected(pipe):
    """What each prompt gives when nothing else runs."""
    alone = {}
    for prompt in PROMPTS:
        own = own_pipe(pipe)
        with attnscope.capture(own) as trace:
            made = picture(own, prompt)
        alone[prompt] = {"picture": made, **facts(trace)}
    return alone


def test_requests_that_are_captured_and_plain_ones_beside_them_are_as_alone(pipe, expected):
    paths = ("/captured", "/plain", "/captured-async", "/plain", "/captured", "/plain")
    barrier = threading.Barrier(len(paths), timeout=60)
    asked = [(path, PROMPTS[at % len(PROMPTS)]) for at, path in enumerate(paths)]
    with (
        TestClient(application(pipe, barrier.wait)) as client,
        ThreadPoolExecutor(len(paths)) as browsers,
    ):
        answers = list(browsers.map(lambda ask: client.get(ask[0], params={"prompt": ask[1]}).json(), asked))
    for (path, prompt), answer in zip(asked, answers, strict=True):
        wanted = expected[prompt] if "captured" in path else {"picture": expected[prompt]["picture"]}
        assert answer == wanted
    assert leftovers(pipe) == []

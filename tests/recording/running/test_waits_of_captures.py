"""How often a capture would wait for a GPU: never in an ordinary layer, once in one that is checked."""

from itertools import pairwise

import pytest
import torch

import attnscope
from attnscope.recording.observing import observation
from attnscope.testing.full_size import inputs
from attnscope.testing.tiny_models import tiny_unet
from capture_cases import run
from device_reads import Counted, as_on_a_gpu

BRANCHES = ("uncond", "cond")
OPERATIONS = 2
"""Of an ordinary layer, beyond the plain pass: copies of Q and K."""
OPERATIONS_CHECKED = 46
"""Of a checked layer besides."""


@pytest.fixture(scope="module")
def unet():
    return tiny_unet()


@pytest.fixture
def as_gpu(monkeypatch):
    as_on_a_gpu(monkeypatch)
    return monkeypatch


def counted_passes(unet, count, **options):
    """Counts of the plain pass, and of each pass of one capture."""
    arguments = inputs(unet, height=16, width=16, rows=2)
    with torch.no_grad():
        with Counted() as plain:
            unet(*arguments)
        counted = []
        with attnscope.capture(unet, branches=BRANCHES, **options) as trace:
            for _ in range(count):
                with Counted() as of_pass:
                    unet(*arguments)
                counted.append(of_pass)
    return plain, counted, trace


def more(counted, plain):
    return sum(counted.launches.values()) - sum(plain.launches.values())


def test_an_ordinary_layer_never_waits_for_the_gpu(unet, as_gpu):
    as_gpu.setattr(observation, "_CHECKED_EVERY", 1000)
    plain, (_, second, third), trace = counted_passes(unet, 3)
    for ordinary in (second, third):
        assert ordinary.reads == []
        assert more(ordinary, plain) <= OPERATIONS * len(trace.layers)


def test_a_checked_layer_waits_for_the_gpu_once(unet, as_gpu):
    as_gpu.setattr(observation, "_CHECKED_EVERY", 1)
    plain, (_, second), trace = counted_passes(unet, 2)
    assert len(second.reads) == len(trace.layers)
    assert more(second, plain) <= (OPERATIONS + OPERATIONS_CHECKED) * len(trace.layers)


def test_the_first_pass_waits_once_a_layer_and_once_more_for_each_self_attention(unet, as_gpu):
    _, (first,), trace = counted_passes(unet, 1)
    layers = trace.layers
    assert len(first.reads) == len(layers) + sum(layer.kind == "self" for layer in layers)


@pytest.mark.thorough
def test_two_layers_are_checked_in_a_later_pass(unet, as_gpu):
    _, counted, _ = counted_passes(unet, 17)
    assert [len(of_pass.reads) for of_pass in counted[1:]] == [2] * 16


def reads_of_steps(pipe, seeded):
    """Reads between the ends of a run's steps; the first step's are not among them."""
    with Counted() as counted:
        so_far = []

        def note(pipe, step, timestep, values):
            so_far.append(len(counted.reads))
            return values

        run(pipe, seeded, num_inference_steps=4, callback_on_step_end=note)
    return [after - before for before, after in pairwise(so_far)]


def test_a_pipelines_ordinary_step_waits_no_more_than_without_a_capture(pipe, seeded, as_gpu):
    """Rows, names and the timestep's place are known after the first step."""
    as_gpu.setattr(observation, "_CHECKED_EVERY", 1000)
    plain = reads_of_steps(pipe, seeded)
    with attnscope.capture(pipe):
        captured = reads_of_steps(pipe, seeded)
    assert captured == plain
    assert len(captured) == 3

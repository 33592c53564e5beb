"""Runs in other threads, and whether two captures saw the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch

import attnscope
from capture_cases import run

MIDDLE = "mid_block.attentions.0.transformer_blocks.0.attn1"


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

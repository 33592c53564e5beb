"""A capture of one run alone, to compare with."""

import torch

import attnscope
from capture_cases import run


def alone(pipe, seeded, **options):
    with attnscope.capture(pipe) as trace:
        run(pipe, seeded, **options)
    return trace


def same_attention(one, other):
    assert one.layers == other.layers
    assert one.steps == other.steps
    return all(torch.equal(one.probabilities(layer=a), other.probabilities(layer=a)) for a in one.layers)

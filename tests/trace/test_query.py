"""Any choice on any axis, at random, against the whole of P in float64."""

import random

import numpy as np
import pytest
import torch

from attnscope.testing.made_traces import made_trace

AXES = ("step", "branch", "image", "head", "query", "key")
TRACE = made_trace(grids=((3, 4), (2, 2)), steps=3, heads=3, images=2, mask=True, seed=5)
BRANCHES = ["uncond", "cond"]


def whole(block, kind):
    """(step, branch, image, head, query, key)"""
    steps = []
    for step in range(3):
        record = TRACE.record(block=block, kind=kind, step=step)
        scores = record.query.double() @ record.key.double().mT * record.scale + record.mask.double()
        steps.append(scores.softmax(-1).unflatten(0, (2, 2)))
    return torch.stack(steps).numpy()


def choose(chance, axis, length):
    """What a user might write, and the numbers on the axis that it means; single: whether it drops the axis."""
    how = chance.choice(["all", "one", "last", "several", "slice"])
    several = chance.sample(range(length), chance.randint(1, length))
    if axis == "branch":
        names = [BRANCHES[at] for at in several]
        return {"all": (None, range(length), False), "one": (names[0], several[:1], True)}.get(
            how, (names, several, False)
        )
    start = chance.randrange(length)
    return {
        "all": (None, range(length), False),
        "one": (several[0], several[:1], True),
        "last": (-1, [length - 1], True),
        "several": (several, several, False),
        "slice": (slice(start, None, 2), range(start, length, 2), False),
    }[how]


@pytest.mark.parametrize("seed", range(150))
def test_any_choice_equals_the_same_part_of_the_whole(seed):
    chance = random.Random(seed)
    block, kind = chance.choice([1, 2]), chance.choice(["self", "cross"])
    expected = whole(block, kind)
    mean = [axis for axis in AXES[:-1] if chance.random() < 0.3]
    choices, dropped = {}, []
    for at, axis in enumerate(AXES):
        choices[axis], numbers, single = choose(chance, axis, expected.shape[at])
        expected = np.take(expected, list(numbers), axis=at)
        if single or axis in mean:
            dropped.append(at)
    expected = expected.mean(tuple(dropped))  # of what is single, a mean is the thing itself
    answer = TRACE.probabilities(block=block, kind=kind, mean=mean, named=True, **choices)
    np.testing.assert_allclose(np.asarray(answer), expected, atol=3e-7)
    assert answer.axes == tuple(axis for at, axis in enumerate(AXES) if at not in dropped)

"""Attention of numbers that are none, too large, or hidden: an error with layer and step, or finite shares."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import attnscope
from attnscope import places
from attnscope.errors import NumbersError, ParameterError
from attnscope.testing.made_traces import made_trace

pytestmark = pytest.mark.attack

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
BAD = (math.nan, math.inf, -math.inf)
VIEW, BOX = places.View(), places.Box(0.2, 0.1, 0.8, 0.6)
QUESTIONS = {
    "self": {
        "rows": lambda trace: trace.probabilities(block=1, kind="self"),
        "head means": lambda trace: trace.probabilities(block=1, kind="self", mean=("step", "head")),
        "region means": lambda trace: trace.probabilities(block=1, kind="self", mean=("step", "query")),
        "a place": lambda trace: places.box_map(trace, VIEW, BOX),
        "segments": lambda trace: attnscope.segment(trace, thresholds=0.5).aggregated,
    },
    "cross": {
        "rows": lambda trace: trace.probabilities(block=1, kind="cross"),
        "a heat map": lambda trace: attnscope.heat_map(trace, "cat").array,
        "DAAM": lambda trace: attnscope.heat_map(trace, "cat", preset="daam").array,
        "a table": lambda trace: attnscope.word_table(trace)[["share", "peak", "area"]].to_numpy(),
        "tokens": lambda trace: places.token_shares(trace, VIEW, places.Box(0, 0, 1, 1)),
        "names": lambda trace: attnscope.segment(trace, labels=["cat"], thresholds=0.5).scores,
    },
}


def full_mask(record, random):
    shape = (record.query.shape[0], 1, record.query.shape[2], record.key.shape[2])
    generator = torch.Generator().manual_seed(random.randrange(2**31))
    return torch.randn(shape, generator=generator).to(record.query.dtype)


def spoilt(record, random):
    """The record with a number that gives no attention, in rows of the branch that is read."""
    name = random.choice(("query", "key", "mask"))
    tensor = full_mask(record, random) if name == "mask" else getattr(record, name).clone()
    number = random.choice(BAD[:2] if name == "mask" else BAD)
    of_cond = tensor[1].view(-1)
    of_cond[random.randrange(len(of_cond))] = number
    return replace(record, **{name: tensor})


def overflowing(record, random):
    size = 10 ** (
        random.uniform(160, 300) if record.query.dtype == torch.float64 else random.uniform(20.5, 37)
    )
    return replace(record, query=record.query * size, key=record.key * size)


def hidden(record, random):
    """Some rows see no key."""
    seen = full_mask(record, random) > random.choice((-1, 0, 1, 9))
    if random.random() < 0.5:
        return replace(record, mask=seen)
    return replace(
        record, mask=torch.zeros(seen.shape, dtype=record.query.dtype).masked_fill(~seen, -math.inf)
    )


@pytest.mark.thorough
def test_every_question_answers_alike(attack):
    for _ in attack.tries(250):
        random = attack.random
        kind, change = random.choice(("self", "cross")), random.choice((spoilt, overflowing, hidden))
        dtype = random.choice(DTYPES)
        if change is overflowing and dtype == torch.float16:
            dtype = torch.float32  # float16 has no numbers whose products overflow
        step, block = random.randrange(2), random.choice((1, 2)) if kind == "cross" else 1
        trace = made_trace(dtype=dtype, seed=random.randrange(999))
        layer = trace.layer(block, kind).id
        records = trace.records._records
        records[step, layer] = change(records[step, layer], random)
        asked = {name: ask for name, ask in QUESTIONS[kind].items() if name != "rows" or block == 1}
        for name, ask in asked.items():
            attack.count(outcome(ask, trace, change, f"block {block} {kind} in step {step}", name))


def outcome(ask, trace, change, where, name):
    answer, error = answered(ask, trace)
    if isinstance(error, NumbersError):
        assert change is not hidden, error
        assert str(error).startswith(where), error
        return "refused"
    if error is not None:
        assert change is hidden, error
        assert "a mask hides all of their keys" in str(error)
        return "refused, hidden"
    unread = name == "a place" or (
        name == "DAAM" and where.startswith("block 2")
    )  # DAAM leaves the coarsest out
    assert change is hidden or unread, f"{name} answered in spite of {change.__name__} at {where}"
    assert np.isfinite(answer).all()
    return "right"


def answered(ask, trace):
    try:
        return np.asarray(ask(trace), dtype=np.float64), None
    except ParameterError as error:
        return None, error


def test_hidden_rows_are_those_of_torch(attack):
    """P against torch's own attention in float64, over V = identity; rows without a key are zeros, NaN before 2.5."""
    for _ in attack.tries(150):
        random = attack.random
        trace = made_trace(steps=1, branches=("uncond", "cond"), seed=random.randrange(999))
        layer = trace.layer(1, random.choice(("self", "cross")))
        record = hidden(trace.records.get(0, layer.id), random)
        trace.records._records[0, layer.id] = record
        found = trace.probabilities(layer=layer, step=0, branch="cond", image=0, mean="head")
        values = torch.eye(layer.keys).double().expand(1, layer.heads, -1, -1)
        mask = record.mask[1:] if record.mask.dtype == torch.bool else record.mask[1:].double()
        expected = torch.nn.functional.scaled_dot_product_attention(
            record.query[1:].double(), record.key[1:].double(), values, mask, scale=record.scale
        )
        torch.testing.assert_close(found.double(), expected[0].nan_to_num().mean(0), atol=2e-6, rtol=0)
        attack.count("right")

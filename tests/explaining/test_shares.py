"""Shares over steps, blocks and heads are those of a softmax written out in float64."""

import numpy as np
import pytest
import torch

from attnscope.errors import SelectionError
from attnscope.explaining.shares import TokenShares
from attnscope.testing import made_trace

CAT = (2, 3)


def softmax(trace, block, step, row):
    record = trace.record(block=block, kind="cross", step=step)
    query, key = record.query[row].double(), record.key[row].double()
    return torch.softmax(query @ key.transpose(-1, -2) * record.scale, -1)  # head, query, token


def test_every_share_is_the_mean_over_everything_else():
    trace = made_trace(branches=("uncond", "cond"), steps=3)
    spread = TokenShares.of(trace, "cond", 0).spread(CAT)
    p = {
        (block, step): softmax(trace, block, step, 1)[..., list(CAT)].sum(-1).mean(-1)
        for block in (1, 2)
        for step in range(3)
    }  # by head
    assert spread.share == pytest.approx(np.mean([heads.mean() for heads in p.values()]))
    for step in range(3):
        assert spread.by_step[step] == pytest.approx(np.mean([p[block, step].mean() for block in (1, 2)]))
    for block in (1, 2):
        assert spread.by_block[block] == pytest.approx(np.mean([p[block, step].mean() for step in range(3)]))
        for head in range(3):
            of_head = np.mean([p[block, step][head] for step in range(3)])
            assert spread.by_head[block, head] == pytest.approx(of_head)


def test_the_budget_is_all_of_the_attention():
    trace = made_trace()
    shares = TokenShares.of(trace, "cond", 0)
    budget = shares.budget(trace.tokens(), [1, *CAT])
    assert budget.words + budget.lost == pytest.approx(1)
    assert budget.start == pytest.approx(shares.spread([0]).share)
    assert budget.end == pytest.approx(shares.spread([4]).share)
    assert (budget.padding, budget.elsewhere, budget.other_text) == pytest.approx((0, 0, 0), abs=1e-9)


def test_text_that_is_no_word_is_told_apart():
    trace = made_trace()
    shares = TokenShares.of(trace, "cond", 0)
    assert shares.budget(trace.tokens(), [1]).other_text == pytest.approx(shares.spread(CAT).share)


def test_each_image_and_branch_has_shares_of_its_own():
    trace = made_trace(images=2)
    of_rows = [
        TokenShares.of(trace, branch, image).spread([1]).share
        for branch in ("cond", "uncond")
        for image in (0, 1)
    ]
    assert len(set(of_rows)) == 4
    assert of_rows[3] == pytest.approx(
        np.mean([softmax(trace, block, step, 1)[..., 1].mean() for block in (1, 2) for step in (0, 1)])
    )


def test_a_trace_without_attention_to_the_text_is_refused():
    with pytest.raises(SelectionError, match="holds no cross-attention"):
        TokenShares.of(made_trace(kinds=("self",)), "cond", 0)

"""One row of P, every number on the way, against torch in float64 and against numbers written out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from attnscope.errors import NumbersError, ParameterError
from attnscope.probability import attention_probability, one_row

GENERATOR = torch.Generator().manual_seed(0)
QUERY = torch.randn(40, generator=GENERATOR)
KEY = torch.randn(77, 40, generator=GENERATOR)
VALUE = torch.randn(77, 40, generator=GENERATOR)
SCALE = 40**-0.5
EXACT = {"rtol": 1e-12, "atol": 1e-15}
"""Float64 on both sides; only the order of sums differs."""


def attention(mask=None):
    """torch's own, in float64."""
    q, k, v = (tensor.double()[None] for tensor in (QUERY[None], KEY, VALUE))
    return scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=SCALE)[0, 0]


def test_every_number_follows_from_the_one_before():
    row = one_row(QUERY, KEY, VALUE, scale=SCALE)
    scores = (KEY.double() * QUERY.double()).sum(1)
    torch.testing.assert_close(row.scores, scores, **EXACT)
    torch.testing.assert_close(row.scaled, scores / math.sqrt(40), **EXACT)
    assert row.largest == row.scaled.max()
    torch.testing.assert_close(row.exponentials, torch.exp(row.scaled - row.largest), **EXACT)
    assert row.total == pytest.approx(float(row.exponentials.sum()), rel=1e-15)
    torch.testing.assert_close(row.probability, row.scaled.softmax(0), **EXACT)
    torch.testing.assert_close(row.output, attention(), **EXACT)
    assert row.used is row.probability
    assert row.added is None


def test_half_precision_is_computed_in_float64():
    row = one_row(QUERY.half(), KEY.half(), scale=SCALE)
    expected = (KEY.half().double() @ QUERY.half().double() * SCALE).softmax(0)
    torch.testing.assert_close(row.probability, expected, **EXACT)
    reference = attention_probability(QUERY.half()[None, None], KEY.half()[None], scale=SCALE)[0, 0]
    torch.testing.assert_close(row.probability, reference.double(), rtol=2e-6, atol=1e-8)  # of float32


def test_what_keys_bring_adds_up_to_the_output():
    row = one_row(QUERY, KEY, VALUE, scale=SCALE)
    assert float(row.adds.sum()) == pytest.approx(1, abs=1e-12)
    brought = row.probability[:, None] * VALUE.double()
    along = brought @ row.output / row.output.norm() ** 2
    torch.testing.assert_close(row.adds, along, rtol=1e-9, atol=1e-13)


def test_a_value_that_points_the_other_way_takes_away():
    key = torch.zeros(2, 1)  # two equal shares
    row = one_row(torch.ones(1), key, torch.tensor([[3.0], [-1.0]]), scale=1.0)
    assert row.output.tolist() == [1.0]
    assert row.adds.tolist() == [1.5, -0.5]
    nothing = one_row(torch.ones(1), key, torch.tensor([[1.0], [-1.0]]), scale=1.0)
    assert nothing.adds.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("as_bool", [False, True])
def test_a_mask_is_added_or_hides(as_bool):
    hidden = torch.arange(77) % 3 == 0
    mask = ~hidden if as_bool else torch.linspace(-2, 2, 77).masked_fill(hidden, -torch.inf)
    row = one_row(QUERY, KEY, VALUE, scale=SCALE, mask=mask)
    assert bool((row.probability[hidden] == 0).all())
    assert bool((row.added[hidden] == -torch.inf).all())
    torch.testing.assert_close(row.output, attention(mask if as_bool else mask.double()), **EXACT)


def test_a_row_without_a_visible_key_is_zeros():
    row = one_row(QUERY, KEY, VALUE, scale=SCALE, mask=torch.zeros(77, dtype=torch.bool))
    assert (row.largest, row.total) == (0, 0)
    assert row.probability.tolist() == [0] * 77
    assert row.output.tolist() == [0] * 40


def test_large_scores_do_not_overflow():
    row = one_row(QUERY * 1e4, KEY * 10, scale=1.0)
    assert float(row.probability.sum()) == pytest.approx(1)


def test_the_row_that_was_used_meets_v():
    used = torch.zeros(77)
    used[5] = 2
    row = one_row(QUERY, KEY, VALUE, scale=SCALE, used=used)
    torch.testing.assert_close(row.output, 2 * VALUE[5].double(), **EXACT)
    assert float(row.probability.sum()) == pytest.approx(1)


def test_without_v_the_message_says_how_to_keep_it():
    row = one_row(QUERY, KEY, scale=SCALE)
    assert repr(row) == "<OneRow of 77 keys, dim 40, without V>"
    for name in ("output", "adds"):
        with pytest.raises(ParameterError, match=r"V is unknown: keep it with capture\(pipe, value=True\)"):
            getattr(row, name)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"query": QUERY[None]}, r"query is \(1, 40\) and key \(77, 40\): expected one query"),
        ({"key": KEY[:, :8]}, r"key \(1, 77, 8\)"),
        ({"value": VALUE[:5]}, r"value is \(5, 40\): expected one row for each of 77 keys"),
        ({"mask": torch.zeros(1, 77)}, r"the mask is \(1, 77\): expected one number for each key"),
        ({"mask": torch.zeros(5)}, r"the mask is \(5,\)"),
        ({"used": torch.zeros(5)}, r"used is \(5,\): expected one share for each of 77 keys"),
        ({"scale": math.nan}, "scale is nan"),
    ],
)
def test_what_does_not_fit_is_refused(changed, message):
    with pytest.raises(ParameterError, match=message):
        one_row(**{"query": QUERY, "key": KEY, "value": VALUE, "scale": SCALE, **changed})


def test_numbers_that_give_no_attention_are_refused():
    with pytest.raises(NumbersError, match="NaN or infinite"):
        one_row(QUERY.clone().fill_(math.nan), KEY, scale=SCALE)

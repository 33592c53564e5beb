"""Numbers and shapes that give no attention: one error, or the one rule for rows without a visible key."""

import math
import re

import numpy as np
import pytest
import torch

from attention_cases import OVER, in_float64, mean_over, qk
from attnscope import probability
from attnscope.errors import NumbersError, ParameterError
from attnscope.probability.contraction import contraction
from attnscope.probability.tiled import reduce_tiled

NAN, INF = math.nan, math.inf


def with_number(tensor, number):
    changed = tensor.clone()
    changed.view(-1)[7] = number
    return changed


def every_answer(query, key, **how):
    yield probability.attention_probability(query, key, **how)
    yield probability.entropy(query, key, **how)
    for over in OVER:
        yield probability.reduce(query, key, over=over, **how)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("number", [NAN, INF, -INF])
@pytest.mark.parametrize("name", ["query", "key"])
def test_one_number_that_is_none_is_refused_everywhere(name, number, dtype):
    tensors = dict(zip(("query", "key"), qk(dtype=dtype), strict=True))
    tensors[name] = with_number(tensors[name], number)
    for over in OVER:
        with pytest.raises(NumbersError, match=f"{name} holds 1 number that is NaN or infinite"):
            probability.reduce(**tensors, scale=1.0, over=over)
    for whole in (probability.entropy, probability.attention_probability):
        with pytest.raises(NumbersError, match=f"{name} holds 1 number"):
            whole(**tensors, scale=1.0)


@pytest.mark.parametrize(
    ("dtype", "size"), [(torch.float32, 1e19), (torch.bfloat16, 1e19), (torch.float64, 1e154)]
)
def test_products_that_may_overflow_are_refused(dtype, size):
    query, key = (torch.ones(1, 4, 8, dtype=dtype) * size for _ in range(2))
    with pytest.raises(NumbersError, match="products of query and key may be as large as"):
        probability.reduce(query, key, scale=1.0, over=("head",))


def test_the_largest_numbers_of_float16_are_right():
    query, key = (torch.full((1, 600, 8), 65504.0, dtype=torch.float16) for _ in range(2))
    key[0, 1] = -65504
    for over in OVER:
        found = probability.reduce(query, key, scale=1.0, over=over)
        expected = mean_over(in_float64(query, key, 1.0), over)
        np.testing.assert_allclose(found.double().numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("scale", [NAN, INF, -INF])
def test_a_scale_that_is_no_number_is_refused(scale):
    with pytest.raises(ParameterError, match="scale is .*; expected a finite number"):
        probability.reduce(*qk(), scale=scale)


@pytest.mark.parametrize(
    ("number", "sentence"), [(NAN, "1 number that is NaN or"), (INF, "1 number"), (3e38, "adds up to")]
)
def test_a_mask_of_no_numbers_is_refused(number, sentence):
    query, key = qk()
    for over in OVER:
        with pytest.raises(NumbersError, match=sentence):
            probability.reduce(
                query * 1e35, key, scale=1.0, over=over, mask=with_number(torch.zeros(1, 50, 37), number)
            )


@pytest.mark.parametrize("as_bool", [True, False])
@pytest.mark.parametrize("queries", [50, 2500])  # one tile, and threads' parts
def test_rows_without_a_visible_key_are_zeros_and_the_others_as_ever(as_bool, queries):
    query, key = qk(queries=queries)
    seen = torch.rand(1, queries, 37, generator=torch.Generator().manual_seed(1)) > 0.3
    seen[0, [0, 3, queries - 1]] = False
    mask = seen if as_bool else torch.zeros(seen.shape).masked_fill(~seen, -INF)
    expected = torch.nn.functional.scaled_dot_product_attention(
        query.double()[None],
        key.double()[None],
        torch.eye(37).double().expand(1, 3, 37, 37),
        seen[None],
        scale=0.3,
    )[0].nan_to_num()  # a P of torch's own: V is the identity; NaN there before torch 2.5
    for over in OVER:
        found = probability.reduce(query, key, scale=0.3, over=over, mask=mask)
        np.testing.assert_allclose(found.double().numpy(), mean_over(expected.numpy(), over), atol=2e-6)
    entropy = probability.entropy(query, key, scale=0.3, mask=mask)
    assert (entropy[:, [0, 3, queries - 1]] == 0).all()
    torch.testing.assert_close(entropy.double(), torch.special.entr(expected).sum(-1), atol=1e-5, rtol=0)
    own = probability.attention_probability(query, key, scale=0.3, mask=mask)
    torch.testing.assert_close(own.double(), expected, atol=2e-6, rtol=0)


def test_tiles_of_hidden_rows_add_nothing():
    query, key = qk(queries=20)
    asked = contraction(query, key, ("head",), None, None, torch.float32)
    total = torch.ones(20, 37)
    hidden = torch.zeros(1, 20, 37, dtype=torch.bool)
    assert (reduce_tiled(query, key, asked, scale=1.0, mask=hidden, into=total, tile_rows=3) == 1).all()


MISFITS = {
    "another dim": lambda q, k: {"query": q[..., :-1], "key": k},
    "other heads": lambda q, k: {"query": q[:2], "key": k},
    "no heads": lambda q, k: {"query": q[:0], "key": k[:0]},
    "no keys": lambda q, k: {"query": q, "key": k[:, :0]},
    "two axes": lambda q, k: {"query": q[0], "key": k[0]},
    "four axes": lambda q, k: {"query": q[None], "key": k[None]},
    "whole numbers": lambda q, k: {"query": q.long(), "key": k},
    "complex numbers": lambda q, k: {"query": q.to(torch.complex64), "key": k},
    "a mask of other keys": lambda q, k: {"query": q, "key": k, "mask": torch.zeros(1, 50, 36)},
    "a mask of four axes": lambda q, k: {"query": q, "key": k, "mask": torch.zeros(1, 1, 50, 37)},
    "a mask of whole numbers": lambda q, k: {"query": q, "key": k, "mask": torch.zeros(50, 37, dtype=torch.int64)},
    "columns in a table": lambda q, k: {"query": q, "key": k, "columns": torch.zeros(2, 2, dtype=torch.int64)},
    "columns of fractions": lambda q, k: {"query": q, "key": k, "columns": torch.zeros(2)},
    "weights of NaN": lambda q, k: {"query": q, "key": k, "over": ["head"], "weights": {"head": torch.full([3], NAN)}},
}  # fmt: skip


@pytest.mark.parametrize("name", MISFITS)
def test_shapes_and_types_that_do_not_fit_are_refused_in_one_sentence(name):
    inputs = MISFITS[name](*qk())
    with pytest.raises(ParameterError, match="expected") as caught:
        probability.reduce(**inputs, scale=1.0)
    assert re.fullmatch(r"[^\n]{20,300}", str(caught.value))
    if inputs.keys() <= {"query", "key", "mask"} and "four axes" not in name:
        for whole in (probability.entropy, probability.attention_probability):
            with pytest.raises(ParameterError, match="expected"):
                whole(**inputs, scale=1.0)


def test_no_queries_are_no_error():
    query, key = qk()
    assert probability.reduce(query[:, :0], key, scale=1.0).shape == (3, 0, 37)

import numpy as np
import pytest
import torch
from attention import SIZES, random_layers, structured_layers
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import aggregate as aggregate_literally

from attnscope.diffseg import aggregate
from attnscope.errors import ParameterError

FLOAT32 = {"rtol": 2e-6, "atol": 0}  # a few roundings of 6e-8 in each sum


@pytest.mark.parametrize("make", [random_layers, structured_layers])
@pytest.mark.parametrize("sizes", [SIZES, [(12, 8), (6, 4), (3, 2)], [(9, 14), (5, 7), (3, 4)]])
def test_aggregate_equals_the_literal_computation(make, sizes):
    layers = make(sizes, seed=1)
    expected = aggregate_literally([(probs.numpy(), size) for probs, size in layers])
    np.testing.assert_allclose(aggregate(layers).numpy(), expected, **FLOAT32)


def test_float64_layers_are_aggregated_in_float64():
    layers = [(probs.double(), size) for probs, size in structured_layers(SIZES, seed=2)]
    expected = aggregate_literally([(probs.numpy(), size) for probs, size in layers])
    np.testing.assert_allclose(aggregate(layers).numpy(), expected, rtol=1e-12)


def test_two_by_two_case_written_out():
    fine = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    coarse = torch.ones(1, 1)
    maps = aggregate([(fine, (2, 2)), (coarse, (1, 1))])  # weights 2:1; the coarse map is 1/4 everywhere
    expected = [[1 / 12, 2 / 3 + 1 / 12], [1 / 12, 1 / 12]]
    np.testing.assert_allclose(maps[0, 1].numpy(), expected, **FLOAT32)


@given(st.integers(2, 7), st.integers(2, 7), st.integers(1, 7), st.integers(1, 7), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_every_map_sums_to_one(height, width, small_height, small_width, seed):
    layers = random_layers([(height, width), (small_height, small_width)], seed, per_size=1)
    sums = aggregate(layers).sum((2, 3))
    torch.testing.assert_close(sums, torch.ones_like(sums), rtol=1e-5, atol=0)


def test_order_of_layers_does_not_matter_and_a_generator_will_do():
    layers = structured_layers(SIZES, seed=3)
    torch.testing.assert_close(aggregate(iter(layers[::-1])), aggregate(layers), rtol=2e-6, atol=0)


def test_layers_of_one_grid_weigh_as_one_layer():
    layers = random_layers([(8, 8), (4, 4)], seed=4, per_size=1)
    torch.testing.assert_close(aggregate([*layers, layers[0], layers[0]]), aggregate(layers))


def test_the_callers_maps_do_not_change():
    layers = random_layers([(4, 4), (2, 2)], seed=5)
    before = [probs.clone() for probs, _ in layers]
    aggregate(layers)
    assert all(torch.equal(probs, copy) for (probs, _), copy in zip(layers, before, strict=True))


def test_weights_choose_the_scales():
    layers = random_layers([(8, 8), (4, 4)], seed=6, per_size=1)
    only_fine = aggregate(layers, weights={(8, 8): 3, (4, 4): 0})
    torch.testing.assert_close(only_fine, aggregate(layers[:1]))
    default = aggregate(layers, weights={(8, 8): 64, (4, 4): 32})
    torch.testing.assert_close(default, aggregate(layers))


def test_result_can_have_another_grid():
    layers = structured_layers(SIZES, seed=7)
    maps = aggregate(layers, grid=(8, 8))
    assert maps.shape == (8, 8, 8, 8)
    torch.testing.assert_close(maps.sum((2, 3)), torch.ones(8, 8))


def test_arrays_and_half_precision_are_taken():
    ((probs, size),) = random_layers([(4, 4)], seed=8, per_size=1)
    torch.testing.assert_close(aggregate([(probs.numpy(), size)]), aggregate([(probs, size)]))
    assert aggregate([(probs.bfloat16(), size)]).dtype == torch.float32


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "no layers"),
        (
            [(torch.ones(4, 4) / 4, (2, 3))],
            r"layer 0 has a map of shape \(4, 4\); its grid 2x3 needs \(6, 6\)",
        ),
        ([(torch.ones(8, 4, 4) / 4, (2, 2))], "mean over heads"),
        ([(torch.ones(4, 4) / 4, (0, 4))], "at least 1"),
        ([(torch.ones(4, 4) / 4, 2)], r"expected \(height, width\)"),
        ([(torch.full((4, 4), torch.nan), (2, 2))], "float16 overflow"),
        ([(-torch.ones(4, 4), (2, 2))], "expected probabilities"),
        ([(torch.zeros(4, 4), (2, 2))], "sums to 0"),
    ],
)
def test_wrong_layers_are_explained(layers, message):
    with pytest.raises(ParameterError, match=message):
        aggregate(layers)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({(8, 8): 1}, "4, 4"),
        ({(8, 8): 1, (4, 4): -1}, "numbers from 0"),
        ({(8, 8): 1, (4, 4): float("nan")}, "numbers from 0"),
        ({(8, 8): 0, (4, 4): 0}, "not all of them 0"),
    ],
)
def test_wrong_weights_are_explained(weights, message):
    with pytest.raises(ParameterError, match=message):
        aggregate(random_layers([(8, 8), (4, 4)], seed=9, per_size=1), weights=weights)

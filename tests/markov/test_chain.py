import numpy as np
import pytest
import torch

from attnscope.errors import ParameterError
from attnscope.markov import (
    balanced,
    chain_powers,
    iterations,
    markov_chain,
    markov_map,
    sharpened,
    start_of_place,
)


def attention(height, width, seed=0):
    """Two halves of a picture that look at each other little, with noise."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([y, x, 3 * (x > width / 2)], -1).view(-1, 3).double()
    noise = torch.rand(len(places), len(places), generator=generator, dtype=torch.float64)
    return torch.softmax(noise - torch.cdist(places, places), -1)


def in_loops(matrix, start, temperature=0.65, rounds=200, threshold=0.3, limit=1000):
    """M2N2's chain and iterations, number by number in NumPy and float64."""
    matrix = np.exp(np.log(matrix) / temperature)
    matrix = matrix / matrix.sum(1, keepdims=True)
    for _ in range(rounds):
        matrix = matrix / matrix.sum(0)
        matrix = matrix / matrix.sum(1)[:, None]
    state = start / start.max()
    steps = [0.0 if value > threshold else None for value in state]
    for step in range(limit):
        before, state = state, state @ matrix
        state = state / state.max()
        for place, value in enumerate(state):
            if steps[place] is None and value > threshold:
                rise = 1 - threshold if step == 0 else value - before[place]
                steps[place] = step + 1 - (value - threshold) / (rise + 1e-6)
    return matrix, np.array([limit if step is None else step for step in steps])


@pytest.mark.parametrize("size", [(6, 6), (4, 7), (1, 9)], ids=str)
def test_chain_and_iterations_are_the_papers(size):
    maps, start = attention(*size), start_of_place((size[0] / 3, 1.25), size) if size[0] > 1 else None
    start = start_of_place((0, 1.25), size) if start is None else start
    chain, steps = in_loops(maps.numpy(), start.flatten().numpy())
    ours = markov_chain(maps, dtype=torch.float64)
    torch.testing.assert_close(ours, torch.from_numpy(chain), rtol=0, atol=1e-14)
    found = iterations(ours, start.view(1, -1))[0]
    torch.testing.assert_close(found, torch.from_numpy(steps), rtol=0, atol=1e-9)
    in_float32 = markov_map(maps, start, grid=size)
    torch.testing.assert_close(in_float32.double().flatten(), found, rtol=0, atol=2e-3)


def test_several_starts_are_each_their_own():
    chain = markov_chain(attention(4, 5))
    starts = torch.eye(20)[[3, 11]]
    both = iterations(chain, starts)
    assert torch.equal(both, torch.cat([iterations(chain, starts[:1]), iterations(chain, starts[1:])]))
    assert both[0, 3] == both[1, 11] == 0


def test_rows_and_columns_sum_to_one():
    chain = markov_chain(attention(5, 5), dtype=torch.float64)
    ones = torch.ones(25, dtype=torch.float64)
    torch.testing.assert_close(chain.sum(1), ones, rtol=0, atol=1e-14)
    torch.testing.assert_close(chain.sum(0), ones, rtol=0, atol=1e-6)  # 200 rounds are not the limit


def test_fewer_rounds_are_fewer():
    matrix = sharpened(attention(3, 3), dtype=torch.float64)
    once = matrix / matrix.sum(0)
    torch.testing.assert_close(balanced(matrix, 1), once / once.sum(1, keepdim=True))
    assert torch.equal(balanced(matrix, 0), matrix)


def test_factors_that_grow_without_end_overflow_nothing():
    matrix = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1e-6, 1.0, 1.0]])  # no balance exists
    chain = markov_chain(matrix)
    assert chain.isfinite().all()
    torch.testing.assert_close(chain.sum(1), torch.ones(3))


def test_a_place_that_nobody_attends_to_is_never_reached():
    matrix = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    steps = markov_map(matrix, (0, 0), grid=(1, 3))
    assert steps[0, 2] == 1000
    assert steps[0, :2].max() < 10
    assert markov_map(matrix, (0, 2), grid=(1, 3))[0, 2] == 0  # it is its own start


def test_a_single_place_and_pairs_of_shapes():
    assert markov_map(torch.ones(1, 1), (0, 0)).tolist() == [[0.0]]
    maps = attention(2, 3)
    assert torch.equal(markov_map(maps.view(2, 3, 2, 3), (0, 1)), markov_map(maps, (0, 1), grid=(2, 3)))


def test_the_callers_attention_does_not_change():
    maps = attention(3, 3)
    before = maps.clone()
    markov_map(maps, (1, 1))
    assert torch.equal(maps, before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attention": torch.ones(3, 4)}, "attention has shape"),
        ({"attention": torch.ones(3, 3)}, "give grid="),
        ({"attention": torch.full((4, 4), torch.nan)}, "NaN often means a float16 overflow"),
        ({"attention": torch.full((4, 4), -1.0)}, "expected probabilities"),
        ({"attention": torch.zeros(4, 4)}, "4 of 4 places attend to nothing"),
        ({"grid": (3, 2)}, "grid is 3x2"),
        ({"grid": "ab"}, "two whole numbers"),
        ({"start": (2, 0)}, "start is row 2"),
        ({"start": (torch.nan, 0)}, "start is row nan"),
        ({"start": "here"}, "expected .row, column."),
        ({"start": torch.zeros(2, 2)}, "all 0"),
        ({"start": torch.ones(3, 2)}, "start has shape"),
        ({"threshold": 1.0}, "threshold is 1.0"),
        ({"temperature": 0}, "temperature is 0"),
        ({"rounds": -1}, "rounds is -1"),
        ({"limit": 0}, "limit is 0"),
        ({"dtype": torch.float16}, "dtype is torch.float16"),
    ],
    ids=str,
)
def test_wrong_input_gets_one_clear_error(change, message):
    arguments = {"attention": torch.full((4, 4), 0.25), "start": (0, 0), **change}
    with pytest.raises(ParameterError, match=message):
        markov_map(**arguments)


@pytest.mark.parametrize("limit", [1, 15, 16, 17, 40, 1000])
def test_powers_give_the_same_steps(limit):
    chain = markov_chain(attention(6, 7), dtype=torch.float64)
    starts = torch.stack(
        [start_of_place((2.5, 1.25), (6, 7)), torch.linspace(0, 1, 42).view(6, 7).double()]
    ).flatten(1)
    starts[1, 3] = 0.1  # of weights that begin above the threshold some are reached at once
    one_by_one = iterations(chain, starts, limit=limit)
    assert one_by_one.max() > min(limit, 30) - 1  # more than two long strides
    torch.testing.assert_close(
        iterations(chain_powers(chain), starts, limit=limit), one_by_one, rtol=0, atol=1e-9
    )


def test_powers_never_reach_what_no_step_reaches():
    chain = torch.block_diag(torch.full((2, 2), 0.5), torch.ones(1, 1))
    start = torch.tensor([[1.0, 0, 0]])
    assert iterations(chain_powers(chain), start).tolist() == iterations(chain, start).tolist()
    assert iterations(chain, start)[0, 2] == 1000

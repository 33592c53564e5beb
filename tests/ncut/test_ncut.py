"""Normalised cuts against a literal count, dense solvers, scikit-learn and structures that are known."""

import itertools

import numpy as np
import pytest
import torch
from scipy.linalg import eigh
from sklearn.cluster import SpectralClustering
from sklearn.metrics import adjusted_rand_score

import attnscope
from attnscope.diffseg import segment_map
from attnscope.errors import ParameterError
from attnscope.ncut import best_cut, cut_recursively, normalized_cut, row_affinity
from attnscope.ncut.cutting import least_cut, second_eigenvector


def regions(*sizes, noise=0.3, strength=3.0, seed=0):
    """Attention of places in regions of these sizes, and the region of each place."""
    rng = np.random.default_rng(seed)
    region = np.repeat(np.arange(len(sizes)), sizes)
    scores = strength * (region[:, None] == region) + noise * rng.standard_normal((len(region),) * 2)
    return torch.from_numpy(scores).softmax(-1), torch.from_numpy(region)


def blocks(*sizes):
    return torch.block_diag(*[torch.full((size, size), 1 / size) for size in sizes])


def literal_ncut(affinity, inside):
    """cut(A, B) / assoc(A, V) + cut(A, B) / assoc(B, V), place by place."""
    places = range(len(affinity))
    cut = sum(affinity[i, j] for i in places for j in places if inside[i] and not inside[j])
    volumes = [
        sum(affinity[i, j] for i in places if inside[i] == side for j in places) for side in (True, False)
    ]
    return float(cut / volumes[0] + cut / volumes[1])


def random_affinity(size=12, seed=0):
    numbers = torch.from_numpy(np.random.default_rng(seed).random((size, size)))
    return (numbers + numbers.T) / 2


def test_the_value_of_a_cut_is_the_literal_count_and_the_least_of_all_thresholds():
    affinity = random_affinity()
    values = torch.from_numpy(np.random.default_rng(1).random(12))
    cut = least_cut(affinity, affinity.sum(1), values)
    every = {
        threshold: literal_ncut(affinity, values > threshold)
        for threshold in values
        if threshold < values.max()
    }
    assert cut.ncut == pytest.approx(literal_ncut(affinity, cut.inside), rel=1e-12)
    assert cut.ncut == pytest.approx(min(every.values()), rel=1e-12)


@pytest.mark.parametrize("size", [2, 3, 4, 9, 40])
def test_second_eigenvector_is_that_of_a_dense_solver(size):
    affinity = random_affinity(size, seed=size)
    degrees = affinity.sum(1)
    ours = second_eigenvector(affinity, degrees)
    theirs = eigh((torch.diag(degrees) - affinity).numpy(), torch.diag(degrees).numpy())[1][:, 1]
    theirs = torch.from_numpy(theirs * np.sign(theirs[np.abs(theirs).argmax()]))
    torch.testing.assert_close(ours / ours.norm(), theirs / theirs.norm(), rtol=1e-5, atol=1e-6)


def test_no_bipartition_is_better_where_parts_are_clear():
    attention, region = regions(4, 6, noise=0.5)
    affinity = row_affinity(attention, sharpness=2)
    best = min(
        literal_ncut(affinity, np.array(inside))
        for inside in itertools.product([True, False], repeat=10)
        if any(inside) and not all(inside)
    )
    cut = best_cut(affinity)
    assert cut.ncut == pytest.approx(best, rel=1e-9)
    assert cut.inside.unique_consecutive().numel() == 2
    assert (cut.inside == (region == region[cut.inside][0])).all()


@pytest.mark.parametrize("sizes", [(7, 5), (3, 3, 3, 3), (1, 20, 4, 2), (30, 1, 1)])
def test_blocks_that_nothing_joins_are_recovered_exactly(sizes):
    maps = normalized_cut(blocks(*sizes))
    region = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    torch.testing.assert_close(maps, torch.nn.functional.one_hot(region).T.float(), atol=1e-6, rtol=0)


def test_segments_are_those_of_spectral_clustering_that_is_told_how_many():
    attention, region = regions(120, 60, 90, 30, noise=0.5)
    affinity = row_affinity(attention)
    theirs = SpectralClustering(4, affinity="precomputed", random_state=0).fit_predict(affinity.numpy())
    ours = cut_recursively(affinity)
    assert adjusted_rand_score(theirs, ours) == 1
    assert torch.equal(ours, region)


def test_permuting_places_permutes_the_segments():
    attention, _ = regions(50, 20, 40, noise=0.5)
    order = torch.from_numpy(np.random.default_rng(5).permutation(110))
    labels = normalized_cut(attention).argmax(0)
    permuted = normalized_cut(attention[order][:, order]).argmax(0)
    assert labels.max() == 2
    assert adjusted_rand_score(labels[order], permuted) == 1


def test_result_is_the_same_again_and_leaves_torch_as_it_was():
    attention, _ = regions(40, 30, 50, noise=1.0)
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    kept = attention.clone()
    first, second = normalized_cut(attention), normalized_cut(attention)
    assert torch.equal(first, second)
    assert torch.equal(attention, kept)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_maps_sum_to_one_and_keep_each_place_its_segment():
    attention, region = regions(12, 6, 18)
    aggregated = attention.view(6, 6, 6, 6).float()
    maps = normalized_cut(aggregated)
    assert maps.shape == (3, 6, 6)
    assert maps.dtype == torch.float32
    torch.testing.assert_close(maps.sum(0), torch.ones(6, 6))
    assert torch.equal(maps.argmax(0).flatten(), region)
    assert torch.equal(segment_map(maps, (6, 6)), maps.argmax(0))


def test_pictures_that_are_not_square_are_not_transposed():
    attention, _ = regions(8, 24, noise=0.5)
    maps = normalized_cut(attention.view(4, 8, 4, 8))
    assert maps.shape == (2, 4, 8)
    assert maps.argmax(0).tolist() == [[0] * 8, *[[1] * 8] * 3]


def test_power_is_hops_of_the_walk():
    attention, _ = regions(5, 4)
    for power in (2, 3, 5):
        hops = torch.linalg.matrix_power(attention, power)
        torch.testing.assert_close(
            row_affinity(attention, power=power), row_affinity(hops), rtol=1e-9, atol=1e-12
        )


def test_affinity_is_the_cosine_and_symmetric_to_the_bit():
    attention = regions(700, 330, noise=1.0)[0].float()
    affinity = row_affinity(attention, sharpness=3)
    row = torch.nn.functional.cosine_similarity(attention[:1], attention).pow(3)
    torch.testing.assert_close(affinity[0, 1:], row[1:], rtol=1e-4, atol=1e-5)
    assert torch.equal(affinity, affinity.T)
    assert affinity[0, 0] == affinity[0, 1:].max()


def test_a_place_that_is_like_no_other_is_like_itself():
    assert torch.equal(row_affinity(torch.eye(3)), torch.eye(3))


@pytest.mark.parametrize(
    "attention",
    [torch.full((30, 30), 1 / 30), torch.ones(1, 1), torch.full((2, 2), 0.5), regions(40, noise=0.5)[0]],
    ids=["constant", "one place", "two places", "noise"],
)
def test_what_has_no_parts_is_one_segment(attention):
    maps = normalized_cut(attention)
    assert maps.shape == (1, len(attention))
    torch.testing.assert_close(maps, torch.ones_like(maps))


def test_two_places_that_look_at_themselves_are_two_segments():
    assert normalized_cut(torch.eye(2)).tolist() == [[1, 0], [0, 1]]


def test_a_limit_cuts_what_costs_less():
    attention, _ = regions(30, 30, 30, 30, strength=2.0)
    assert len(normalized_cut(attention, limit=1e-6)) == 1
    assert len(normalized_cut(attention, limit=0.9)) == 4
    assert len(normalized_cut(attention)) == 4
    assert len(normalized_cut(attention, most=2)) == 2
    assert len(normalized_cut(attention, limit=1.0, most=7)) == 7


def test_half_precision_is_computed_in_float32():
    attention, region = regions(20, 30)
    maps = normalized_cut(attention.half())
    assert maps.dtype == torch.float32
    assert torch.equal(maps.argmax(0), region)


def nan_in(attention):
    attention[3, 4] = torch.nan
    return attention


@pytest.mark.parametrize(
    ("attention", "message"),
    [
        (torch.zeros(4, 4), "4 of 4 places attend to nothing"),
        (blocks(3, 3) * 2, "sums to 2"),
        (nan_in(blocks(3, 3)), "from nan to nan; expected probabilities"),
        (-blocks(3, 3), "from -0.333 to -0"),
        (torch.full((2, 2), torch.inf), "from inf to inf"),
        (torch.ones(3, 4), r"has shape \(3, 4\) and dtype"),
        (torch.ones(2, 3, 3, 2), r"\(2, 3, 3, 2\) and dtype"),
        (torch.ones(0, 0), r"\(0, 0\) and dtype"),
        (torch.ones(2, 2, dtype=torch.complex64), "dtype torch.complex64; expected real numbers"),
    ],
)
def test_what_is_no_attention_is_refused(attention, message):
    with pytest.raises(ParameterError, match=message):
        normalized_cut(attention)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"power": 0}, "power is 0; expected hops"),
        ({"power": 1.5}, "power is 1.5"),
        ({"sharpness": 0}, "sharpness is 0; expected an exponent above 0"),
        ({"sharpness": float("nan")}, "sharpness is nan"),
        ({"limit": 0}, "limit is 0; expected an NCut above 0"),
        ({"limit": "0.5"}, "limit is '0.5'"),
        ({"most": 0}, "most is 0"),
    ],
)
def test_numbers_outside_their_range_are_refused(choice, message):
    with pytest.raises(ParameterError, match=message):
        normalized_cut(blocks(2, 2), **choice)


@pytest.mark.parametrize(
    ("affinity", "message"),
    [
        (torch.tensor([[1.0, 0.5], [0.2, 1.0]]), "not symmetric"),
        (torch.tensor([[1.0, 0.0], [0.0, 0.0]]), "a row of it is all 0"),
        (torch.ones(2, 3), r"shape \(2, 3\)"),
        (torch.tensor([[1.0, torch.nan], [torch.nan, 1.0]]), "no NaN"),
    ],
)
def test_what_is_no_affinity_is_refused(affinity, message):
    with pytest.raises(ParameterError, match=message):
        cut_recursively(affinity)


def test_names_are_there_by_the_package():
    assert attnscope.ncut.normalized_cut is normalized_cut
    assert set(attnscope.ncut.__all__) <= set(dir(attnscope.ncut))
    with pytest.raises(AttributeError, match="no attribute 'cut'"):
        attnscope.ncut.cut


def test_hops_average_noise_away():
    attention, region = regions(120, 60, 90, 30, noise=1.0)
    assert len(normalized_cut(attention)) > 4
    assert torch.equal(normalized_cut(attention, power=2).argmax(0), region)


def test_many_parts_that_nothing_joins_are_found_up_to_the_most():
    assert torch.equal(normalized_cut(torch.eye(60)), torch.eye(60))
    assert len(normalized_cut(torch.eye(60), most=40)) == 40


def test_attention_that_changes_slowly_along_a_chain_is_cut_in_even_parts():
    places = torch.arange(300)
    near = ((places[:, None] - places).abs() < 4).float()
    labels = normalized_cut(near / near.sum(1, keepdim=True), most=4).argmax(0)
    assert labels.unique_consecutive().tolist() == [0, 1, 2, 3]
    assert labels.bincount().min() > 40


def test_likeness_that_leaves_the_range_of_numbers_is_none():
    scores = 30 * torch.randn(40, 40, generator=torch.Generator().manual_seed(0))
    maps = normalized_cut(scores.softmax(-1))
    assert maps.isfinite().all()
    torch.testing.assert_close(maps.sum(0), torch.ones(40))

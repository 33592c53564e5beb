from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from attention import SIZES, random_layers, regions, structured_layers
from oracle import distance, distance_float16
from oracle import merge as merge_literally
from oracle import segment_map as segment_map_literally

from attnscope.diffseg import aggregate, anchor_points, merge, segment_map, symmetric_kl
from attnscope.diffseg.exact_neighbours import ExactNeighbours, _CentredLogs, _screened
from attnscope.diffseg.float16_neighbours import Float16Neighbours
from attnscope.diffseg.merging import Merger
from attnscope.errors import ParameterError

OUT_HW = (40, 56)
NON_SQUARE = [(12, 18), (6, 9), (3, 5)]


def decided(neighbours, maps, tau):
    return neighbours.near(maps, neighbours.distances(maps), tau)


@pytest.mark.parametrize("make", [random_layers, structured_layers])
@pytest.mark.parametrize("sizes", [SIZES, NON_SQUARE])
@pytest.mark.parametrize("tau", [0.1, 0.5])
def test_merge_equals_the_literal_computation(make, sizes, tau):
    maps = aggregate(make(sizes, seed=1))
    merged, expected = merge(maps, [tau] * 3), merge_literally(maps.numpy(), [tau] * 3)
    np.testing.assert_allclose(merged.numpy(), expected, rtol=1e-9)  # float64 on both sides
    assert np.array_equal(segment_map(merged, OUT_HW).numpy(), segment_map_literally(expected, OUT_HW))


@pytest.mark.parametrize("make", [random_layers, structured_layers])
@pytest.mark.parametrize("tau", [0.1, 0.5])
def test_reference_equals_the_literal_float16_computation(make, tau):
    maps = aggregate(make(SIZES, seed=2))
    merged, expected = (
        merge(maps, [tau] * 3, "reference"),
        merge_literally(maps.numpy(), [tau] * 3, float16=True),
    )
    np.testing.assert_allclose(merged.numpy(), expected, rtol=1e-9)
    assert np.array_equal(segment_map(merged, OUT_HW).numpy(), segment_map_literally(expected, OUT_HW))


@pytest.mark.parametrize("sharpness", [1.0, 4.0])
def test_float16_decisions_are_those_of_every_element(sharpness):
    maps = aggregate(random_layers([(8, 8), (4, 4)], seed=3, sharpness=sharpness)).view(64, 64)
    distances = np.array([[distance_float16(x, y) for y in maps.numpy()] for x in maps.numpy()])
    for tau in np.quantile(
        distances[np.isfinite(distances)], [0.1, 0.5, 0.9]
    ):  # each tau equals some distance
        near = decided(Float16Neighbours(maps), maps, float(tau)).numpy()
        assert np.array_equal(near, distances < np.float16(tau))


@pytest.mark.parametrize("preset", ["paper", "reference"])
def test_merging_again_gives_what_merging_anew_gives_and_takes_the_distances_from_before(preset, monkeypatch):
    maps = aggregate(structured_layers(SIZES, seed=2))
    merger = Merger(maps, preset)
    merger.merge([0.1] * 3)
    monkeypatch.setattr(merger._neighbours, "distances", None)  # would fail if it were called again
    for thresholds in ([0.5] * 3, [0.3, 0.2], [0.1] * 3):
        assert torch.equal(merger.merge(thresholds), merge(maps, thresholds, preset))


@pytest.mark.parametrize("preset", ["paper", "reference"])
def test_settled_distances_leave_nothing_open_and_decide_alike(preset, monkeypatch):
    maps = aggregate(structured_layers(SIZES, seed=3))
    merger = Merger(maps, preset)
    expected = [merge(maps, [tau], preset) for tau in (0.05, 0.3, 1.0)]
    merger.settle()
    if preset == "paper":
        monkeypatch.setattr("attnscope.diffseg.exact_neighbours.symmetric_kl", None)
    for tau, merged in zip((0.05, 0.3, 1.0), expected, strict=True):
        assert torch.equal(merger.merge([tau]), merged)


def test_a_value_that_float16_rounds_to_zero_is_near_nothing_in_the_reference():
    maps = torch.full((1, 4, 1, 4), 0.25)
    maps[0, 3, 0] = torch.tensor([0.5, 0.5, 1e-9, 1e-9])
    assert len(merge(maps, [50.0, 0.1], anchors=4)) == 1  # exactly, everything is within 50 nats
    assert merge(maps, [50.0, 0.1], "reference", anchors=4)[0, 0].tolist() == pytest.approx([0.25] * 4)


def test_reference_says_when_float16_leaves_nothing():
    maps = torch.eye(4).view(2, 2, 2, 2) + 1e-10
    with pytest.raises(ParameterError, match="preset='paper'"):
        merge(maps, [1.0] * 3, "reference")


def test_regions_of_a_picture_are_found():
    maps = aggregate(structured_layers([(32, 32), (16, 16), (8, 8)], seed=4, per_size=1, inside=4, noise=0.2))
    labels = segment_map(merge(maps, [0.4] * 3), (32, 32))
    truth = regions((32, 32))
    assert len(truth.unique()) <= len(labels.unique()) <= 8
    right = sum(torch.bincount(truth[labels == number]).max() for number in labels.unique())
    assert right > 0.97 * truth.numel()


@pytest.mark.parametrize("sharpness", [0.01, 1.0, 6.0])
def test_exact_decisions_are_those_of_every_element(sharpness):
    maps = aggregate(random_layers([(8, 8), (4, 4)], seed=3, sharpness=sharpness)).view(64, 64)
    distances = np.array([[distance(x, y) for y in maps.double().numpy()] for x in maps.double().numpy()])
    ordered = np.sort(distances[distances > 1e-12])
    middle = len(ordered) // 2
    for tau in (ordered[middle : middle + 9 : 4] + ordered[middle + 2 : middle + 11 : 4]) / 2:
        assert np.array_equal(decided(ExactNeighbours(maps), maps, float(tau)).numpy(), distances < tau)


@pytest.mark.parametrize("sharpness", [0.1, 1.0, 6.0])
def test_screening_in_float32_stays_within_its_bound_and_settles_most_pairs(sharpness):
    maps = aggregate(random_layers([(24, 24), (12, 12)], seed=4, per_size=1, sharpness=sharpness)).view(
        576, 576
    )
    logs = ExactNeighbours(maps[:50]).logs
    found, error = _screened(logs, _CentredLogs.of(maps, ExactNeighbours(maps[:50]).centre))
    exact = symmetric_kl(maps[:50], maps)
    assert ((found - exact).abs() <= error).all()
    assert ((exact - exact.median()).abs() <= error).double().mean() < 0.2


@pytest.mark.parametrize("precision", ["highest", "medium"])
def test_zeros_and_cheap_products_do_not_change_decisions(precision):
    maps = aggregate(random_layers([(8, 8)], seed=5, per_size=1, sharpness=1)).view(64, 64).clone()
    maps[3:9, 5], maps[20, 7] = 0, 1e-42
    expected = symmetric_kl(maps, maps) < 0.9
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(precision)
        assert torch.equal(decided(ExactNeighbours(maps), maps, 0.9), expected)
    finally:
        torch.set_float32_matmul_precision(before)
    assert expected.sum() > len(maps)


def test_symmetric_kl_equals_the_sum_written_out():
    x, y = torch.rand(2, 5, 7).softmax(-1)
    expected = [[distance(a, b) for b in y.double().numpy()] for a in x.double().numpy()]
    np.testing.assert_allclose(symmetric_kl(x, y).numpy(), expected, rtol=1e-9, atol=1e-15)


def test_symmetric_kl_of_zeros_follows_the_definition():
    p = torch.tensor([[0.5, 0.5, 0.0], [0.25, 0.75, 0.0], [0.5, 0.25, 0.25]])
    found = symmetric_kl(p, p)
    assert found.diagonal().tolist() == [0, 0, 0]
    assert float(found[0, 1]) == pytest.approx(np.log(3) / 8)
    assert torch.isinf(found[2, :2]).all()
    assert torch.isinf(found[:2, 2]).all()


def test_tile_size_does_not_matter(monkeypatch):
    maps = aggregate(structured_layers(SIZES, seed=5))
    whole = merge(maps, [0.3] * 3), merge(maps, [0.3] * 3, "reference")
    monkeypatch.setattr("attnscope.diffseg.merging.TILE_VALUES", 1000)
    monkeypatch.setattr("attnscope.diffseg.float16_neighbours.PAIR_VALUES", 1000)
    monkeypatch.setattr("attnscope.diffseg.exact_neighbours.CHAIN", 10)
    for one, other in zip(whole, (merge(maps, [0.3] * 3), merge(maps, [0.3] * 3, "reference")), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=0)


def test_number_of_threads_does_not_matter_and_is_left_alone(monkeypatch):
    monkeypatch.setattr("attnscope.diffseg.merging.TILE_VALUES", 1000)
    maps = aggregate(structured_layers(SIZES, seed=5))
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            results.append(merge(maps, [0.3] * 3))
            assert torch.get_num_threads() == threads
            with ThreadPoolExecutor(1) as later:
                assert later.submit(torch.get_num_threads).result() == threads
        assert torch.equal(*results)
    finally:
        torch.set_num_threads(before)


def test_later_passes_collect_matched_maps_again():
    # three maps in a row: the middle is near both, the ends are not near each other
    ends = torch.tensor([[0.8, 0.2], [0.5, 0.5], [0.2, 0.8]])
    near, far = float(symmetric_kl(ends[:1], ends[1:2])), float(symmetric_kl(ends[:1], ends[2:]))
    maps = torch.zeros(3, 1, 3, 1)
    maps[:, 0, :2, 0] = ends
    maps += 1e-6
    merged = merge(maps, [1e-4, (near + far) / 2], anchors=3)
    assert merged[:, :2, 0].flatten().tolist() == pytest.approx([0.65, 0.35, 0.35, 0.65], abs=1e-4)


@pytest.mark.parametrize(
    ("size_hw", "anchors", "expected"),
    [
        ((64, 64), 16, list(range(1, 62, 4))),
        ((32, 32), 16, list(range(0, 31, 2))),
        ((8, 8), 16, list(range(8))),
        ((9, 9), 1, [4]),
    ],
)
def test_anchors_lie_as_in_the_authors_program(size_hw, anchors, expected):
    points = anchor_points(size_hw, anchors)
    assert points[:, 0].unique().tolist() == expected
    assert points[:, 1].unique().tolist() == expected
    assert points[: len(expected), 1].tolist() == expected  # row by row


def test_anchors_of_a_non_square_grid_are_not_transposed():
    points = anchor_points((96, 64), (4, 2))
    assert points.tolist() == [[r, c] for r in (1, 32, 63, 94) for c in (0, 63)]


def test_thresholds_may_be_one_number():
    maps = aggregate(structured_layers(SIZES, seed=6))
    torch.testing.assert_close(merge(maps, 0.3), merge(maps, [0.3] * 3))


@pytest.mark.parametrize(
    "thresholds", [[-1.0], [float("nan")], [0.5, 0.0], [float("inf")], [], -0.5, ["a"], "abc"]
)
def test_wrong_thresholds_are_explained(thresholds):
    with pytest.raises(ParameterError, match=r"thresholds are .*expected .*numbers above 0, one per pass"):
        merge(torch.full((2, 2, 2, 2), 0.25), thresholds)


@pytest.mark.parametrize("shape", [(4, 4), (2, 2, 2, 3), (0, 2, 0, 2), (2, 2, 4)])
def test_wrong_shapes_are_explained(shape):
    with pytest.raises(ParameterError, match=r"expected \(height, width, height, width\)"):
        merge(torch.ones(shape), [1.0])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_wrong_values_are_explained(value):
    maps = torch.full((2, 2, 2, 2), 0.25)
    maps[1, 0, 1, 1] = value
    with pytest.raises(ParameterError, match="aggregated has values from"):
        merge(maps, [1.0])


@pytest.mark.parametrize("anchors", [0, -3, (4,), (4, 0), 2.5, (2, 2, 2)])
def test_wrong_anchors_are_explained(anchors):
    with pytest.raises(ParameterError, match="anchors is"):
        merge(torch.full((2, 2, 2, 2), 0.25), [1.0], anchors=anchors)


def test_unknown_preset_names_the_known_ones():
    with pytest.raises(ParameterError, match=r"'papper'.*'paper'"):
        merge(torch.full((2, 2, 2, 2), 0.25), [1.0], "papper")

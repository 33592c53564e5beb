"""Words' maps spread by self-attention: cases written out, laws, and what is refused."""

import math

import pytest
import torch
from skimage.filters import threshold_otsu

from attnscope.diffseg import segment_map
from attnscope.errors import ParameterError
from attnscope.segmentation.spreading import entropy_reduced, spread, with_background


def attention(height, width, seed=0, dtype=torch.float64):
    scores = torch.randn(
        height * width, height * width, generator=torch.Generator().manual_seed(seed), dtype=dtype
    )
    return scores.softmax(-1).view(height, width, height, width)


def seeds(words, height, width, seed=1):
    return torch.rand(
        words, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def test_power_is_the_mean_of_the_seeds_where_the_walk_is():
    walk, maps = attention(2, 3), seeds(2, 2, 3)
    hops = torch.linalg.matrix_power(walk.view(6, 6), 3).view(2, 3, 2, 3)
    expected = torch.einsum("abcd,wcd->wab", hops, maps)
    torch.testing.assert_close(spread(maps, walk, steps=3), expected)
    torch.testing.assert_close(spread(maps, walk, steps=0), maps)


def test_entropy_reduced_attention_of_a_case_written_out():
    matrix = torch.tensor([[0.8, 0.2], [0.4, 0.6]], dtype=torch.float64)
    # columns' maxima 0.8 and 0.6; shares 1, 1/3; 1/2, 1
    kept = [[1 + 0.2 * math.log10(math.e), 1 / 3 + 0.2 * math.log10(math.e / 3)]]
    kept += [[1 / 2 + 0.2 * math.log10(math.e / 2), 1 + 0.2 * math.log10(math.e)]]
    expected = torch.tensor([[value / sum(row) for value in row] for row in kept], dtype=torch.float64)
    torch.testing.assert_close(entropy_reduced(matrix, 0.2), expected)


def test_entropy_takes_weak_attention_out_and_keeps_zeros():
    matrix = torch.tensor([[0.9, 0.1, 0.0], [0.05, 0.95, 0.0], [0.0, 0.01, 0.99]])
    reduced = entropy_reduced(matrix, 1.0)
    assert torch.equal(reduced, torch.eye(3))
    torch.testing.assert_close(entropy_reduced(matrix, 0.0).sum(1), torch.ones(3))


def test_maps_of_entropy_sum_to_one_and_start_at_zero():
    maps = spread(seeds(3, 4, 5), attention(4, 5), "entropy", steps=4)
    torch.testing.assert_close(maps.sum((1, 2)), torch.ones(3, dtype=torch.float64))
    assert maps.amin((1, 2)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("form", ["power", "entropy", "affinity"])
def test_a_seed_in_a_region_fills_it_and_no_other(form):
    walk = torch.block_diag(torch.full((4, 4), 0.25), torch.full((8, 8), 0.125)).view(3, 4, 3, 4)
    maps = torch.zeros(2, 3, 4)
    maps[0, 0, 1] = maps[1, 2, 2] = 1
    filled = with_background(spread(maps, walk, form), threshold=0.5)
    assert filled.argmax(0).tolist() == [[1] * 4, [2] * 4, [2] * 4]


@pytest.mark.parametrize("form", ["power", "entropy", "affinity"])
def test_permuting_places_and_words_permutes_the_maps(form):
    walk, maps = attention(1, 9), seeds(2, 1, 9)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(3))
    permuted = spread(maps.flip(0)[:, :, order], walk[:, order][:, :, :, order], form)
    torch.testing.assert_close(permuted, spread(maps, walk, form).flip(0)[:, :, order])


def test_a_word_that_landed_nowhere_is_nowhere():
    maps = torch.stack([torch.zeros(2, 2), torch.eye(2)]).double()
    for form in ("power", "entropy", "affinity"):
        result = with_background(spread(maps, attention(2, 2), form))
        assert result.isfinite().all()
        assert not (result.argmax(0) == 1).any()


def test_background_is_what_no_word_reaches():
    maps = torch.tensor([[[0.0, 0.2, 1.0, 0.1]], [[3.0, 1.0, 1.0, 1.0]]])
    labels = segment_map(with_background(maps, 0.5), (1, 4))
    assert labels.tolist() == [[2, 0, 1, 0]]


def test_threshold_of_a_picture_is_otsus():
    maps = seeds(3, 16, 16) ** 3
    background = with_background(maps)[0]
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    assert background.unique().item() == pytest.approx(
        threshold_otsu(((maps - low) / (high - low)).amax(0).numpy())
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"form": "powers"}, "form is 'powers'; expected one of"),
        ({"steps": -1}, "steps is -1; expected a whole number from 0"),
        ({"steps": 1.5}, "steps is 1.5"),
        ({"entropy_weight": -1}, "entropy_weight is -1"),
        ({"seeds": torch.ones(2, 3, 3)}, r"seeds are \(2, 3, 3\) and attention \(2, 3, 2, 3\)"),
        ({"seeds": torch.ones(2, 3)}, "expected floating-point"),
        ({"seeds": -torch.ones(2, 2, 3)}, "negative numbers"),
        ({"seeds": torch.full((1, 2, 3), torch.nan)}, "hold NaN"),
        ({"attention": torch.zeros(2, 3, 2, 3)}, "attend to nothing"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    with pytest.raises(ParameterError, match=message):
        spread(**{"seeds": seeds(1, 2, 3), "attention": attention(2, 3), **change})


@pytest.mark.parametrize("threshold", [-0.1, 1.5, "0.5", True])
def test_thresholds_outside_their_range_are_refused(threshold):
    with pytest.raises(ParameterError, match="threshold is"):
        with_background(seeds(1, 2, 2), threshold)


def test_a_weight_that_leaves_a_place_nothing_is_refused():
    matrix = torch.eye(4)
    matrix[3] = torch.tensor([1 / 3, 1 / 3, 1 / 3, 0])
    assert entropy_reduced(matrix, 0.1)[3].tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])
    with pytest.raises(
        ParameterError, match="entropy_weight=100 1 places keep no attention; use a smaller one"
    ):
        entropy_reduced(matrix, 100)

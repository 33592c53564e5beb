import numpy as np
import pytest
import torch

from attnscope.diffseg import name_segments, unite_namesakes, word_maps
from attnscope.diffseg.labels import reference_tokens
from attnscope.errors import ParameterError, WordError

# (query, token) on a 1x2 grid: token 1 looks left, token 2 right, token 0 takes the rest
CROSS = torch.tensor([[0.2, 0.7, 0.1], [0.2, 0.2, 0.6]])


def test_word_maps_are_the_tokens_columns_with_unit_norm():
    maps = word_maps([(CROSS, (1, 2))], [[1], [2]], (1, 2))
    left, right = np.array([0.7, 0.2]), np.array([0.1, 0.6])
    expected = np.stack([left / np.linalg.norm(left), right / np.linalg.norm(right)])
    np.testing.assert_allclose(maps[:, 0].numpy(), expected, rtol=1e-6)


def test_a_word_of_two_tokens_is_their_mean():
    maps = word_maps([(CROSS, (1, 2))], [[1, 2]], (1, 2))
    mean = np.array([0.4, 0.4])
    np.testing.assert_allclose(maps[0, 0].numpy(), mean / np.linalg.norm(mean), rtol=1e-6)


def test_scales_count_the_same_and_are_resized():
    coarse = torch.tensor([[0.0, 1.0, 0.0]])
    maps = word_maps([(CROSS, (1, 2)), (coarse, (1, 1)), (coarse, (1, 1))], [[1]], (1, 2))
    total = np.array([0.7, 0.2]) + 1
    np.testing.assert_allclose(maps[0, 0].numpy(), total / np.linalg.norm(total), rtol=1e-6)


def test_a_factor_on_all_layers_of_a_grid_does_not_matter():
    one = word_maps([(CROSS, (1, 2))], [[1], [2]], (4, 8))
    torch.testing.assert_close(word_maps([(CROSS / 5, (1, 2))], [[1], [2]], (4, 8)), one)


def test_a_segment_takes_the_word_with_the_largest_mean():
    maps = torch.tensor([[[0.9, 0.8, 0.1]], [[0.2, 0.3, 0.6]]])
    assert name_segments(torch.tensor([[0, 0, 2]]), maps).tolist() == [0, -1, 1]
    assert name_segments(torch.tensor([[0, 0, 0]]), maps, count=2).tolist() == [0, -1]


def test_segments_of_one_word_become_one():
    assert unite_namesakes(torch.tensor([1, 0, 1, 2])).tolist() == [0, 1, 0, 2]


def test_reference_takes_the_words_place_plus_one():
    assert reference_tokens("a red house, and a tree", ["house", "tree"]) == [[3], [7]]
    with pytest.raises(WordError, match="'boat' is not in the prompt"):
        reference_tokens("a red house", ["boat"])


@pytest.mark.parametrize(
    ("layers", "spans", "message"),
    [
        ([], [[1]], "at least one layer"),
        ([(CROSS, (1, 2))], [], "at least one token"),
        ([(CROSS, (1, 2))], [[]], "at least one token"),
        ([(CROSS, (1, 2))], [[3]], "token 3"),
        ([(CROSS, (2, 2))], [[1]], "2x2"),
    ],
)
def test_wrong_input_is_explained(layers, spans, message):
    with pytest.raises(ParameterError, match=message):
        word_maps(layers, spans, (4, 4))


def test_labels_and_maps_of_other_sizes_are_refused():
    with pytest.raises(ParameterError, match="of the same size"):
        name_segments(torch.zeros(2, 2, dtype=torch.long), torch.rand(2, 3, 3))

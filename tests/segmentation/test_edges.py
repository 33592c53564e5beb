"""Edges by attention against the divergence of each pair of maps."""

import pytest
import torch

from attnscope.diffseg import symmetric_kl
from attnscope.errors import ParameterError
from attnscope.segmentation.edges import edges


def attention(height, width, seed=0):
    scores = torch.randn(height * width, height * width, generator=torch.Generator().manual_seed(seed)) * 2
    return scores.softmax(-1).view(height, width, height, width)


def test_values_are_the_divergences_of_opposite_neighbours():
    maps = attention(3, 4)
    between = symmetric_kl(maps.view(12, 12), maps.view(12, 12))
    for row in range(3):
        for column in range(4):
            up, down = max(row - 1, 0) * 4 + column, min(row + 1, 2) * 4 + column
            left, right = row * 4 + max(column - 1, 0), row * 4 + min(column + 1, 3)
            expected = float(between[up, down] + between[left, right])
            assert float(edges(maps)[row, column]) == pytest.approx(expected, rel=1e-4)


def test_a_mirrored_picture_has_mirrored_edges():
    maps = attention(4, 5)
    torch.testing.assert_close(edges(maps.flip(1, 3)), edges(maps).flip(1))
    torch.testing.assert_close(edges(maps.permute(1, 0, 3, 2)), edges(maps).T)


def test_zeros_of_attention_give_finite_edges_where_regions_meet():
    left = (torch.arange(6) < 3).repeat(4)
    same = (left[:, None] == left).float()
    found = edges((same / same.sum(1, keepdim=True)).view(4, 6, 4, 6))
    assert found.isfinite().all()
    assert (found > 0).tolist() == [[False, False, True, True, False, False]] * 4


def test_attention_that_is_alike_everywhere_and_one_place_have_no_edges():
    assert not edges(torch.full((3, 2, 3, 2), 1 / 6)).any()
    assert edges(torch.ones(1, 1, 1, 1)).tolist() == [[0]]


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (torch.full((4, 4), 0.25), r"shape \(4, 4\); expected \(height, width, height, width\)"),
        (torch.zeros(2, 2, 2, 2), "4 of 4 places attend to nothing"),
        (torch.full((2, 2, 2, 2), torch.nan), "values from nan to nan; expected probabilities"),
    ],
)
def test_what_is_no_attention_on_a_grid_is_refused(maps, message):
    with pytest.raises(ParameterError, match=message):
        edges(maps)

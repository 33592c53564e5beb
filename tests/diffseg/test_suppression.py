import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import segment_map as segment_map_literally

from attnscope.diffseg import segment_map
from attnscope.errors import ParameterError


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 23), st.integers(1, 23), st.integers(0, 999))
@settings(max_examples=60, deadline=None)
def test_labels_equal_the_literal_interpolation_and_argmax(height, width, out_height, out_width, seed):
    merged = torch.rand(5, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = segment_map(merged, (out_height, out_width)).numpy()
    assert np.array_equal(found, segment_map_literally(merged.numpy(), (out_height, out_width)))


def test_equal_maps_give_the_first():
    merged = torch.rand(1, 4, 5).expand(3, 4, 5)
    assert segment_map(merged, (16, 20)).unique().tolist() == [0]


def test_tile_size_does_not_matter(monkeypatch):
    merged = torch.rand(6, 9, 7, generator=torch.Generator().manual_seed(1))
    whole = segment_map(merged, (50, 40))
    monkeypatch.setattr("attnscope.diffseg.suppression.PIXELS_AT_ONCE", 130)
    assert torch.equal(segment_map(merged, (50, 40)), whole)


def test_a_non_square_map_is_not_transposed():
    merged = torch.zeros(2, 2, 3)
    merged[0, 0], merged[1, 1] = 1, 1
    assert segment_map(merged, (4, 6)).tolist() == [[0] * 6] * 2 + [[1] * 6] * 2


@pytest.mark.parametrize(
    "merged", [torch.rand(4, 4), torch.rand(0, 4, 4), torch.ones(2, 4, 4, dtype=torch.long)]
)
def test_wrong_maps_are_explained(merged):
    with pytest.raises(ParameterError, match=r"expected floating-point \(segment, height, width\)"):
        segment_map(merged, (8, 8))


@pytest.mark.parametrize("size_hw", [(0, 8), (8,), (8, -1), (8.0, 8)])
def test_wrong_sizes_are_explained(size_hw):
    with pytest.raises(ParameterError, match="size_hw is"):
        segment_map(torch.rand(2, 4, 4), size_hw)

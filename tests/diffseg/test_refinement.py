import builtins

import pytest
import torch
from attention import SIZES, structured_layers

from attnscope.diffseg import aggregate, merge, refine
from attnscope.errors import MissingExtraError, ParameterError


def test_refined_maps_are_means_of_clusters_that_cover_all_maps():
    pytest.importorskip("sklearn", reason="needs the extra 'refine'")
    maps = aggregate(structured_layers(SIZES, seed=1))
    merged = merge(maps, [0.4] * 3)
    refined = refine(maps, merged)
    assert refined.shape == merged.shape
    flat, centres = maps.flatten(2).flatten(0, 1).double(), refined.flatten(1)
    cluster = torch.cdist(flat, centres).argmin(1)
    means = torch.stack([flat[cluster == number].mean(0) for number in range(len(centres))])
    torch.testing.assert_close(centres, means, rtol=1e-3, atol=1e-6)  # k-means stops at its tolerance


def test_missing_scikit_learn_names_the_command(monkeypatch):
    real = builtins.__import__

    def without_sklearn(name, *args, **kwargs):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_sklearn)
    with pytest.raises(MissingExtraError, match=r'pip install "attnscope\[refine\]"'):
        refine(torch.full((2, 2, 2, 2), 0.25), torch.full((1, 2, 2), 0.25))


def test_wrong_shapes_are_explained():
    with pytest.raises(ParameterError, match="of the same grid"):
        refine(torch.full((2, 2, 2, 2), 0.25), torch.full((1, 2, 3), 0.25))

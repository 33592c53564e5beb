"""Random Q and K, and the attention probability written once more, in numpy and float64."""

from itertools import combinations

import numpy as np
import torch

from attnscope.probability.contraction import AXES

OVER = [over for count in range(4) for over in combinations(("head", "query", "key"), count)]
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-6, torch.float16: 2e-6, torch.bfloat16: 2e-6}
# half precision is only the storage: both sides start from the same rounded numbers, in float32 or more


def qk(heads=3, queries=50, keys=37, dim=8, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(heads, queries, dim, generator=generator) * 3
    key = torch.randn(heads, keys, dim, generator=generator)
    return query.to(dtype), key.to(dtype)


def in_float64(query, key, scale, mask=None):
    scores = np.einsum("hqd,hkd->hqk", query.double().numpy(), key.double().numpy()) * scale
    if mask is not None:
        scores = (
            np.where(mask.numpy(), scores, -np.inf) if mask.dtype == torch.bool else scores + mask.numpy()
        )
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def mean_over(array, over, weights=None):
    for axis in sorted(over, key=AXES.index, reverse=True):
        weight = (weights or {}).get(axis)
        array = (
            np.average(array, AXES.index(axis))
            if weight is None
            else (np.tensordot(array, weight.double().numpy(), (AXES.index(axis), 0)))
        )
    return array

"""P in float64 on the device itself, a head at a time, and every kind of sum over it."""

import torch

from attnscope import probability
from gpu_card import DEVICE, HEADS

TOLERANCE = 2e-6  # of numbers in 0..1 in float32; half precision is only the storage of Q and K
EPSILON = torch.finfo(torch.float32).eps


def made(queries, keys, dim, dtype, *, heads=HEADS, seed=0):
    """Q and K with scores of the usual size, a few."""
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(heads, queries, dim, generator=generator) * 3 / dim**0.5
    key = torch.randn(heads, keys, dim, generator=generator)
    return query.to(DEVICE, dtype), key.to(DEVICE, dtype)


def exact_scores(query, key, head, scale, mask=None):
    scores = query[head].double() @ key[head].double().T * scale
    if mask is None:
        return scores
    mask = mask.expand(len(query), query.shape[1], key.shape[1])[head]
    return scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask.double()


def exact_sums(query, key, scale, mask, weight, columns):
    """All that check_all_sums asks for, and the largest score."""
    heads, queries, keys = *query.shape[:2], key.shape[1]
    made_of = {"dtype": torch.float64, "device": query.device}
    head_mean = torch.zeros(queries, keys, **made_of)
    query_mean, key_sum, entropy = [], [], []
    largest = 0.0
    for head in range(heads):
        scores = exact_scores(query, key, head, scale, mask)
        largest = max(largest, float(scores[scores.isfinite()].abs().max()))
        probs = scores.softmax(-1)
        head_mean += probs / heads
        query_mean.append(probs.mean(0))
        key_sum.append(probs @ weight.double())
        entropy.append(torch.special.entr(probs).sum(-1))
    return {
        "head": head_mean,
        "query": torch.stack(query_mean),
        "key": torch.stack(key_sum),
        "columns": head_mean[:, columns],
        "all": torch.stack(query_mean).mean(0) @ weight.double(),
        "entropy": torch.stack(entropy),
    }, largest


def check_all_sums(
    query, key, *, scale=1.0, mask=None, reduce=probability.reduce, entropy=probability.entropy
):
    """Every kind of sum within the rounding of float32, which grows with the scores themselves."""
    keys = key.shape[1]
    weight = torch.linspace(0.5, 1.5, keys, device=query.device) / keys
    columns = torch.arange(0, keys, max(1, keys // 3), device=query.device)
    exact, largest = exact_sums(query, key, scale, mask, weight, columns)
    given = {"scale": scale, "mask": mask}
    found = {
        "head": lambda: reduce(query, key, over=("head",), **given),
        "query": lambda: reduce(query, key, over=("query",), **given),
        "key": lambda: reduce(query, key, over=("key",), weights={"key": weight}, **given),
        "columns": lambda: reduce(query, key, over=("head",), columns=columns, **given),
        "all": lambda: reduce(query, key, over=("head", "query", "key"), weights={"key": weight}, **given),
        "entropy": lambda: entropy(query, key, **given),
    }
    for name, compute in found.items():
        got = compute()
        assert got.dtype == torch.float32
        assert got.device == query.device
        allowed = (TOLERANCE + 2 * EPSILON * largest) * (
            8 if name == "entropy" else 1
        )  # nats: log(keys) times more
        torch.testing.assert_close(
            got.double(), exact[name], rtol=0, atol=allowed, msg=lambda m, n=name: f"{n}: {m}"
        )

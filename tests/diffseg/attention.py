"""Attention made up for tests: random, and structured as a picture with regions gives it."""

from __future__ import annotations

import torch

Layers = list[tuple[torch.Tensor, tuple[int, int]]]
SIZES = [(12, 12), (6, 6), (3, 3)]


def random_layers(
    sizes: list[tuple[int, int]], seed: int, *, per_size: int = 2, sharpness: float = 1.0
) -> Layers:
    generator = torch.Generator().manual_seed(seed)
    return [
        ((torch.randn(h * w, h * w, generator=generator) * sharpness).softmax(-1), (h, w))
        for h, w in sizes
        for _ in range(per_size)
    ]


def regions(size_hw: tuple[int, int]) -> torch.Tensor:
    """Five regions of a picture: a sky, a ground with a slanted edge, a disc, a box and a thin post."""
    y, x = torch.meshgrid(*((torch.arange(side) + 0.5) / side for side in size_hw), indexing="ij")
    region = (y > 0.6 + 0.1 * x).long()
    region[(y - 0.35) ** 2 + (x - 0.3) ** 2 < 0.04] = 2
    region[(y - 0.7).abs().lt(0.18) & (x - 0.7).abs().lt(0.15)] = 3
    region[(x - 0.5).abs() < 0.04] = 4
    return region


def structured_layers(
    sizes: list[tuple[int, int]], seed: int, *, per_size: int = 2, inside: float = 3.0, noise: float = 0.5
) -> Layers:
    """Positions look at their own region, at their neighbourhood, and a little anywhere."""
    generator = torch.Generator().manual_seed(seed)
    layers = []
    for h, w in sizes:
        region = regions((h, w)).flatten()
        same = (region[:, None] == region[None, :]).float()
        y, x = torch.meshgrid(torch.arange(h) / h, torch.arange(w) / w, indexing="ij")
        place = torch.stack([y.flatten(), x.flatten()], 1)
        far = torch.cdist(place, place) ** 2
        for _ in range(per_size):
            scores = inside * same - 2 * far + noise * torch.randn(h * w, h * w, generator=generator)
            layers.append((scores.softmax(-1), (h, w)))
    return layers

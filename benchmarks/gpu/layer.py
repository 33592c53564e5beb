"""Sums over one layer's attention on a GPU: head mean, rows, columns, entropy, beside the fused attention itself.

Floor: the product Q K^T once at the card's own rate, or the result written once at its own copy rate, whichever
takes longer; the fused attention has the product with V on top, the kernels make Q K^T twice. The naive form is
the way of prompt-to-prompt and its followers: all heads' probabilities in memory, then their mean.

    python benchmarks/gpu/layer.py [--repeats 20]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from card import (
    DEVICE,
    TYPES,
    WARM_UP,
    Rates,
    add_rates,
    measured_rates,
    parsed,
    peak_bytes,
    seconds,
    wall_seconds,
)
from harness import Report, Timings, in_turns
from torch import Tensor

from attnscope import probability

TEXT_TOKENS = 77
WORD = torch.tensor([3, 4])
"""Columns of a word with two tokens; on the CPU, where checking them waits for nothing."""


class Shape(NamedTuple):
    """One self-attention layer of one picture."""

    heads: int
    places: int
    dim: int

    def __str__(self) -> str:
        return f"{self.heads}x{self.dim}, {self.places}x{self.places}"


SHAPES = (Shape(8, 4096, 40), Shape(10, 4096, 64), Shape(5, 9216, 64), Shape(8, 1024, 80))
TOY_SHAPES = (Shape(2, 66, 40),)


def tensors(shape: Shape, dtype: torch.dtype) -> list[Tensor]:
    """Q, K, V and the keys of a text."""
    generator = torch.Generator().manual_seed(0)
    lengths = (shape.places, shape.places, shape.places, TEXT_TOKENS)
    return [
        torch.randn(shape.heads, length, shape.dim, generator=generator).to(DEVICE, dtype)
        for length in lengths
    ]


def naive(query: Tensor, key: Tensor, scale: float) -> Tensor:
    return (query.float() @ key.float().transpose(1, 2) * scale).softmax(-1).mean(0)


def runs(shape: Shape, dtype: torch.dtype) -> dict[str, Callable[[], Tensor]]:
    query, key, value, text = tensors(shape, dtype)
    scale = shape.dim**-0.5
    middle = slice(shape.places // 2, shape.places // 2 + 1)
    return {
        "fused attention": lambda: F.scaled_dot_product_attention(query[None], key[None], value[None]),
        "head mean": lambda: probability.reduce(query, key, scale=scale, over=("head",)),
        "row": lambda: probability.reduce(query[:, middle], key, scale=scale, over=("head",)),
        "columns": lambda: probability.reduce(query, text, scale=scale, over=("head", "key"), columns=WORD),
        "entropy": lambda: probability.entropy(query, key, scale=scale),
        "naive head mean": lambda: naive(query, key, scale),
    }


def measure(report: Report, shape: Shape, dtype: str, rates: Rates, repeats: int) -> None:
    todo = runs(shape, TYPES[dtype])
    timings = in_turns(todo, repeats=repeats, warm_up=WARM_UP, clock=seconds)
    say(report, f"{dtype} {shape}", timings)
    flops = 2 * shape.heads * shape.places**2 * shape.dim
    floor = rates.floor_s(dtype, flops=flops, moved_bytes=4 * shape.places**2)
    report.add(f"{dtype} {shape}: floor of a head mean", 1e3 * floor, "ms")
    report.add(f"{dtype} {shape}: head mean / floor", timings.median("head mean") / floor, "")
    launched = in_turns({"head mean": todo["head mean"]}, repeats=repeats, clock=wall_seconds)
    report.add(f"{dtype} {shape}: head mean, launching included", 1e3 * launched.median("head mean"), "ms")
    exact = exact_head_mean(shape, TYPES[dtype])
    error = float((todo["head mean"]() - exact).abs().max())
    report.add(f"{dtype} {shape}: worst error against float64", error, "", "at most 2e-6")
    for name, run in todo.items():
        report.add(f"{dtype} {shape}: peak memory, {name}", peak_bytes(run) / 1e6, "MB")


def say(report: Report, what: str, timings: Timings) -> None:
    for name in timings.seconds:
        report.add(f"{what}: {name}", 1e3 * timings.median(name), "ms")
    report.seconds.update({f"{what}: {name}": values for name, values in timings.seconds.items()})
    asked = "" if what.startswith("fp32") else "at most 1.0"
    report.add(f"{what}: head mean / fused", timings.ratio("head mean", "fused attention"), "", asked)


def exact_head_mean(shape: Shape, dtype: torch.dtype) -> Tensor:
    """In float64, a head at a time."""
    query, key, *_ = tensors(shape, dtype)
    total = torch.zeros(shape.places, shape.places, dtype=torch.float64, device=DEVICE)
    for head in range(shape.heads):
        total += (query[head].double() @ key[head].double().T * shape.dim**-0.5).softmax(-1)
    return total / shape.heads


def main() -> None:
    given = parsed(__doc__)
    rates = measured_rates(given.toy)
    report = Report("layer", "sums over one self-attention layer, heads x dim, queries x keys")
    add_rates(report, rates)
    query, key, *_ = tensors(TOY_SHAPES[0], torch.float16)
    print(probability.path_for(query, key, over=("head",)).reason, flush=True)
    for shape in TOY_SHAPES if given.toy else SHAPES:
        for dtype in TYPES:
            measure(report, shape, dtype, rates, given.repeats)
    report.finish()


if __name__ == "__main__":
    main()

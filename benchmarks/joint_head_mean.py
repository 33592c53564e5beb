"""The head mean of one joint layer of Flux at 1024x1024: 24 heads of 4608x4608, dim 128, and parts of it.

Beside it, in the same run, the fused attention of the same shapes, and the naive form: all heads' probabilities in
memory (2 GB), then their mean. 'image->image' is what `trace.probabilities(relation=...)` asks: 4096 queries, 4096 keys
that count, the softmax over all 4608. Peak memory over what was there before is measured in a process of its own.

Floor: the product Q K^T, 130 GFLOP, and one exponential for each of 510 million scores; the fused attention multiplies
with V on top.

    python benchmarks/joint_head_mean.py [--repeats 5] [--dtype bfloat16] [--cpu-time]
"""

from __future__ import annotations

import argparse
import subprocess
import sys

import torch
import torch.nn.functional as F
from harness import Report, cpu_seconds_of, in_turns, peak_resident_bytes, resident_bytes, seconds_of
from torch import Tensor

from attnscope import probability

HEADS, TEXT, PLACES, DIM = 24, 512, 4608, 128
SCALE = DIM**-0.5


def tensors(dtype: torch.dtype, count: int = 3) -> list[Tensor]:
    """Q, K and V as diffusers makes them: heads are parts of each place's vector. No more memory than they take."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for _ in range(count):
        tensor = torch.empty(PLACES, HEADS * DIM, dtype=dtype)
        for some in tensor.split(512):
            some.copy_(torch.randn(some.shape, generator=generator))
        made.append(tensor.unflatten(1, (HEADS, DIM)).transpose(0, 1))
    return made


def head_mean(query: Tensor, key: Tensor) -> Tensor:
    return probability.reduce(query, key, scale=SCALE, over=("head",))


def image_to_image(query: Tensor, key: Tensor) -> Tensor:
    return probability.reduce(query[:, TEXT:], key, scale=SCALE, over=("head",), columns=range(TEXT, PLACES))


def naive(query: Tensor, key: Tensor) -> Tensor:
    return (query.float() @ key.float().transpose(1, 2) * SCALE).softmax(-1).mean(0)


FORMS = {"head mean": head_mean, "image->image": image_to_image, "naive": naive}


def print_memory(form: str, dtype: torch.dtype) -> None:
    """Peak of resident memory over what was there before; the result is not counted."""
    query, key = tensors(dtype, 2)
    probability.reduce(query[:2, :600], key[:2], scale=SCALE, over=("head",))  # threads and kernels are there
    before = resident_bytes()
    result = FORMS[form](query, key)
    print(peak_resident_bytes() - before - result.nbytes)


def extra_bytes(form: str, dtype: str) -> int:
    command = [sys.executable, __file__, "--memory-of", form, "--dtype", dtype]
    return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def worst_error(query: Tensor, key: Tensor, rows: int = 64) -> float:
    """Of some rows, against float64."""
    found = head_mean(query, key)[TEXT : TEXT + rows]
    exact = probability.attention_probability(
        query[:, TEXT : TEXT + rows].double(), key.double(), scale=SCALE
    ).mean(0)
    return float((found - exact).abs().max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument(
        "--cpu-time", action="store_true", help="of this process, where others take the cores"
    )
    parser.add_argument("--memory-of", choices=FORMS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    dtype = getattr(torch, given.dtype)
    if given.memory_of:
        print_memory(given.memory_of, dtype)
        return
    clock = cpu_seconds_of if given.cpu_time else seconds_of
    query, key, value = tensors(dtype)
    runs = {
        "fused attention": lambda: F.scaled_dot_product_attention(query[None], key[None], value[None]),
        "head mean": lambda: head_mean(query, key),
        "image->image": lambda: image_to_image(query, key),
    }
    timings = in_turns(runs, repeats=given.repeats, clock=clock)
    slow = in_turns({"naive": lambda: naive(query, key)}, repeats=1, warm_up=0, clock=clock)
    shapes = f"{HEADS} heads of {PLACES}x{PLACES}, head_dim {DIM}, {given.dtype}"
    report = Report("joint_head_mean", shapes)
    report.add_timings(timings)
    report.add_timings(slow)
    fused = timings.median("fused attention")
    report.add("fused attention (F.scaled_dot_product_attention)", fused, "s")
    for name in ("head mean", "image->image"):
        report.add(f"{name} / fused attention", timings.ratio(name, "fused attention"), "", "at most 1.0")
    report.add("naive head mean / fused attention", slow.median("naive") / fused, "")
    report.add("worst error against float64", worst_error(query, key), "", "at most 1e-6")
    for form, asked in (("head mean", "under 64"), ("image->image", "under 64"), ("naive", "")):
        over = extra_bytes(form, given.dtype) / 1e6
        report.add(f"peak memory over the result, {form}", over, "MB", asked)
    report.finish()


if __name__ == "__main__":
    main()

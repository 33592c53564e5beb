"""The head mean of one 4096x4096 self-attention, against the fused attention itself and the naive form.

Floor: the product Q K^T (10.7 GFLOP for 8 heads of 40) and one exponential for each of 134 M scores; the
fused attention does the same and the product with V on top. The naive form is the way of prompt-to-prompt
and its followers: all heads' probabilities in memory, then their mean.

    python benchmarks/head_mean.py [--repeats 9] [--dtype float32]
"""

from __future__ import annotations

import argparse
import subprocess
import sys

import torch
import torch.nn.functional as F
from harness import Report, in_turns, peak_resident_bytes, resident_bytes

from attnscope import probability
from attnscope.records import Call, Grid, Layer, LayerId, Row
from attnscope.records.qkv import Record
from attnscope.storage.memory import MemoryRecords
from attnscope.trace.contents import Pass
from attnscope.trace.trace import Trace

HEADS, PLACES, DIM = 8, 4096, 40
SCALE = DIM**-0.5


def tensors(dtype: torch.dtype) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(HEADS, PLACES, DIM, generator=generator).to(dtype) for _ in range(3)]


def head_mean(dtype: torch.dtype) -> torch.Tensor:
    query, key, _ = tensors(dtype)
    return probability.reduce(query, key, scale=SCALE, over=("head",))


def naive(dtype: torch.dtype) -> torch.Tensor:
    query, key, _ = tensors(dtype)
    return (query.float() @ key.float().transpose(1, 2) * SCALE).softmax(-1).mean(0)


def one_layer_trace(query: torch.Tensor, key: torch.Tensor) -> Trace:
    records, layer = MemoryRecords(), LayerId(1, "self")
    records.layers[layer] = Layer(1, "self", "block", "down", Grid(64, 64), HEADS, DIM, PLACES)
    records.add_call(Call(0, 0, 1.0, (Row("cond", 0),)), {layer: Record(query[None], key[None], scale=SCALE)})
    return Trace(Pass(records))


def extra_bytes(form: str, dtype: str) -> int:
    """Peak of resident memory over what is there before, in a process of its own; the result is in it."""
    command = [sys.executable, __file__, "--memory-of", form, "--dtype", dtype]
    return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def print_memory(form: str, dtype: torch.dtype) -> None:
    query, key, _ = tensors(dtype)
    probability.reduce(query[:, :256], key[:, :256], scale=SCALE, over=("head",))  # threads are there
    before = resident_bytes()
    {"head_mean": head_mean, "naive": naive}[form](dtype)
    print(peak_resident_bytes() - before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], default="float32")
    parser.add_argument("--memory-of", choices=["head_mean", "naive"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    dtype = getattr(torch, given.dtype)
    if given.memory_of:
        print_memory(given.memory_of, dtype)
        return
    query, key, value = tensors(dtype)
    trace = one_layer_trace(query, key)
    report = Report("head_mean", f"{HEADS} heads of {PLACES}x{PLACES}, head_dim {DIM}, {given.dtype}")
    timings = in_turns(
        {
            "fused attention": lambda: F.scaled_dot_product_attention(query[None], key[None], value[None]),
            "head mean": lambda: probability.reduce(query, key, scale=SCALE, over=("head",)),
            "product alone": lambda: torch.matmul(query.float(), key.float().transpose(1, 2)),
            "one row": lambda: trace.probabilities(block=1, kind="self", query=(20, 31)),
        },
        repeats=given.repeats,
        warm_up=2,
    )
    slow = in_turns({"naive": lambda: naive(dtype)}, repeats=3)
    found = head_mean(dtype).double()
    exact = probability.reduce(query.double(), key.double(), scale=SCALE, over=("head",))
    report.add_timings(timings)
    report.add_timings(slow)
    fused = timings.median("fused attention")
    report.add("fused attention (F.scaled_dot_product_attention)", 1e3 * fused, "ms")
    report.add(
        "head mean / fused attention", timings.ratio("head mean", "fused attention"), "", "at most 1.0"
    )
    report.add(
        "Q K^T alone, all heads in memory / fused", timings.ratio("product alone", "fused attention"), ""
    )
    report.add("naive head mean / fused attention", slow.median("naive") / fused, "")
    report.add(
        "one query row of the layer, all heads, from a trace",
        1e3 * timings.median("one row"),
        "ms",
        "under 2",
    )
    report.add("worst error against float64", float((found - exact).abs().max()), "", "at most 2e-6")
    result = PLACES * PLACES * 4
    for form, asked in (("head_mean", "under 64"), ("naive", "")):
        over = extra_bytes(form, given.dtype) - result
        report.add(f"peak memory over the {result / 1e6:.0f} MB result, {form}", over / 1e6, "MB", asked)
    report.finish()


if __name__ == "__main__":
    main()

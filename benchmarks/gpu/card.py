"""The card that is timed: its clock, its memory, and what it can do at most, measured on itself.

Without a GPU the same code runs on the CPU, which is how `./dev gpu --rehearse` tries these scripts.
"""

from __future__ import annotations

import argparse
import gc
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

BENCHMARKS = Path(__file__).parents[1]
sys.path.insert(0, str(BENCHMARKS))

IS_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if IS_GPU else "cpu")
TYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
REPEATS = 20
WARM_UP = 3
FLUSHED_BYTES = 1 << 30
"""Written before each timed run, which empties the card's cache."""
COVERING_CYCLES = 5_000_000
"""For which the card then waits, 2 to 4 ms, while the CPU launches what is timed."""
ASKED_OF_NVIDIA_SMI = "name,driver_version,clocks.sm,clocks.mem,clocks.max.sm,power.draw,temperature.gpu"


@dataclass(frozen=True)
class Rates:
    """What no program on this card gets under or over."""

    copied_bytes_s: float
    """Read and written, by copying a large tensor."""
    product_flops: dict[str, float]
    """Of a large matrix product, by the name of the type; float32 without TF32."""

    def floor_s(self, dtype: str, *, flops: float, moved_bytes: float) -> float:
        """Seconds that so much work takes at least."""
        return max(flops / self.product_flops[dtype], moved_bytes / self.copied_bytes_s)


def parsed(description: str) -> argparse.Namespace:
    """The options that every script here takes: --toy, --repeats."""
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument(
        "--toy", action="store_true", help="sizes that a CPU can take, to try the script itself"
    )
    parser.add_argument("--repeats", type=int, default=REPEATS)
    given = parser.parse_args()
    given.repeats = 2 if given.toy else given.repeats
    return given


def seconds(run: Callable[[], Any]) -> float:
    """Of the card's own work, by its events; what the CPU needs to launch it is covered by what comes before."""
    if not IS_GPU:
        return wall_seconds(run)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.empty(FLUSHED_BYTES, dtype=torch.uint8, device=DEVICE).zero_()
    torch.cuda._sleep(COVERING_CYCLES)
    start.record()
    run()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3


def wall_seconds(run: Callable[[], Any]) -> float:
    """From the call until all that it queued is done: for work that is shared by card, CPU and disk."""
    gc.collect()
    synchronize()
    began = time.perf_counter()
    run()
    synchronize()
    return time.perf_counter() - began


def peak_bytes(run: Callable[[], Any]) -> int:
    """The most memory of the card that a run takes beyond what is there before; 0 without a GPU."""
    if not IS_GPU:
        run()
        return 0
    gc.collect()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def synchronize() -> None:
    if IS_GPU:
        torch.cuda.synchronize()


def measured_rates(toy: bool) -> Rates:
    """Copies and products large enough to fill the card."""
    count, side = (1 << 20, 256) if toy else (1 << 28, 8192)
    source = torch.randn(count, device=DEVICE)
    target = torch.empty_like(source)
    copied = _median_seconds(lambda: target.copy_(source), toy)
    del target
    flops = {}
    for name, dtype in TYPES.items():
        left, right = source[: 2 * side * side].to(dtype).view(2, side, side)
        flops[name] = 2 * side**3 / _median_seconds(lambda a=left, b=right: a @ b, toy)
    return Rates(2 * source.nbytes / copied, flops)


def add_rates(report: Any, rates: Rates) -> None:
    """Say what the card is, how its clocks stand and what it can do at most."""
    print(state(), flush=True)
    report.add("copying, read and written", rates.copied_bytes_s / 1e12, "TB/s")
    for name, flops in rates.product_flops.items():
        report.add(f"matrix product, {name}", flops / 1e12, "TFLOP/s")


def state() -> str:
    """Name, driver, clocks, power and temperature, as they are: nothing is locked."""
    if not IS_GPU:
        return "no GPU: a rehearsal on the CPU"
    command = ["nvidia-smi", f"--query-gpu={ASKED_OF_NVIDIA_SMI}", "--format=csv"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        return f"{torch.cuda.get_device_name()}; nvidia-smi does not answer: {error}"


def _median_seconds(run: Callable[[], Any], toy: bool) -> float:
    for _ in range(1 if toy else WARM_UP):
        run()
    return median(seconds(run) for _ in range(2 if toy else REPEATS))

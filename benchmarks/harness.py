"""What all benchmarks share: runs in turns, medians, the machine and versions said, JSON out.

Runs are interleaved, so that a machine that drifts slows all of them alike; ratios are of medians.
"""

from __future__ import annotations

import gc
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from attnscope.files import whole_file

LIBRARIES = ("attnscope", "torch", "triton", "diffusers", "transformers", "numpy")


@dataclass(frozen=True)
class Timings:
    """Seconds of every run by name, in the order of the runs."""

    seconds: Mapping[str, list[float]]

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name])

    def ratio(self, name: str, to: str) -> float:
        """The median of one by the median of the other."""
        return self.median(name) / self.median(to)


def seconds_of(run: Callable[[], Any]) -> float:
    gc.collect()
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def cpu_seconds_of(run: Callable[[], Any]) -> float:
    """Seconds that this process computed, all its threads together: for machines whose cores others take, too."""
    gc.collect()
    start = time.process_time()
    run()
    return time.process_time() - start


def in_turns(
    runs: Mapping[str, Callable[[], Any]],
    *,
    repeats: int,
    warm_up: int = 1,
    clock: Callable[[Callable[[], Any]], float] = seconds_of,
) -> Timings:
    """Run each `repeats` times, in turns, each turn in the other direction. clock: seconds of one run."""
    for _ in range(warm_up):
        for run in runs.values():
            run()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeats):
        for name in list(runs)[:: 1 if turn % 2 else -1]:
            seconds[name].append(clock(runs[name]))
    return Timings(seconds)


def resident_bytes() -> int:
    """Memory of this process that is in RAM now, as Linux counts it."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_resident_bytes() -> int:
    """The most of this program that was ever in RAM. (getrusage's figure may be the parent process's.)"""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


@dataclass
class Report:
    """One benchmark's claims and what was measured."""

    name: str
    shapes: str
    lines: list[tuple[str, float, str, str]] = field(default_factory=list)
    """(what, value, unit, what was asked for or '')"""
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, what: str, value: float, unit: str, asked: str = "") -> None:
        self.lines.append((what, value, unit, asked))
        self._write()

    def add_timings(self, timings: Timings) -> None:
        self.seconds.update(timings.seconds)

    def finish(self) -> None:
        """Print the lines."""
        print(f"{self.name}: {self.shapes}\n{machine()}")
        for what, value, unit, asked in self.lines:
            print(f"  {what:<66} {value:>10.4g} {unit:<6} {asked}")
        sys.stdout.flush()
        self._write()

    def _write(self) -> None:
        """All that is known so far to BENCHMARK_JSON/NAME.json, if that variable names a folder."""
        if folder := os.environ.get("BENCHMARK_JSON"):
            content = {"machine": machine(), "versions": versions(), **asdict(self)}
            with whole_file(Path(folder) / f"{self.name}.json") as file:
                file.write_text(json.dumps(content, indent=1) + "\n")


def machine() -> str:
    import torch

    cpu = next(
        (line.split(":")[1].strip() for line in _cpu_lines() if line.startswith("model name")),
        platform.machine(),
    )
    gpu = f"{torch.cuda.get_device_name()}, " if torch.cuda.is_available() else ""
    return f"{gpu}{cpu}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}"


def _cpu_lines() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return {"python": platform.python_version(), **found}

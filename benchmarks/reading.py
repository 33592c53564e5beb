"""What it costs that a trace's files are read into memory of their own, and not mapped.

A mapped file that somebody cuts short ends the process that looks at it (SIGBUS); one that is read gives fewer bytes,
which is an error. Both ways in turns, on a saved trace of a full-size SD v1 U-Net (random weights, 512x512) in float32
that the system has in memory: Q and K of one 64x64 layer, summed, so that mapped pages are really fetched; a place in
that layer; and a place in the mean over all blocks, as the viewer asks for them, first with nothing kept from the
question before, then as it is, with records kept that were read last. Seconds that the process computed, so that others
on the machine matter less.

    python benchmarks/reading.py [--repeats 9]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import torch
from harness import Report, cpu_seconds_of, in_turns
from safetensors import safe_open
from viewer_latency import save_trace

import attnscope
from attnscope.places import Box, View, box_map
from attnscope.storage import folder
from attnscope.storage.shards import Shard
from attnscope.trace.trace import Trace


class Mapped:
    """The shard through safetensors' own reader, which maps it."""

    def __init__(self, path: Path) -> None:
        self.file = safe_open(path, framework="pt")

    def read(self, shard: Shard, names: list[str]) -> tuple[dict[str, torch.Tensor], object]:
        return {name: self.file.get_tensor(name) for name in names}, shard.stamp


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=9)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        path = save_trace(Path(place))
        (shard,) = path.glob("*.safetensors")
        report = Report("reading", "a step of SD v1, float32, 64x64 latent, CPU seconds")
        report.add("the shard", shard.stat().st_size / 1e6, "MB")
        with patch.object(folder, "KEPT_BYTES", 0):
            trace = attnscope.load_trace(path)
            compare(report, trace, Mapped(shard), "", given.repeats)
        compare(report, attnscope.load_trace(path), Mapped(shard), ", records kept", given.repeats)
        report.finish()


def compare(report: Report, trace: Trace, mapped: Mapped, state: str, repeats: int) -> None:
    layer, place = trace.layers.of_kind("self")[0], Box.of_place(0.3, 0.7)

    def by_map(run: Callable[[], object]) -> Callable[[], object]:
        def patched() -> object:
            with patch.object(Shard, "read", lambda shard, names: mapped.read(shard, list(names))):
                return run()

        return patched

    def one_layer() -> object:
        record = trace.records.get(0, layer.id)
        return float(record.query.sum()) + float(record.key.sum())

    runs: dict[str, Callable[[], object]] = {
        "Q and K of a 64x64 layer": one_layer,
        "a place in that layer": lambda: box_map(trace, View(layer.block), place),
        "a place, mean over all blocks": lambda: box_map(trace, View(), place),
    }
    for what, run in runs.items():
        read, maps = f"{what}{state}: read", f"{what}{state}: mapped"
        timings = in_turns({read: run, maps: by_map(run)}, repeats=repeats, clock=cpu_seconds_of)
        report.add_timings(timings)
        report.add(f"{read}, median", 1e3 * timings.median(read), "ms")
        report.add(f"{maps}, median", 1e3 * timings.median(maps), "ms")


if __name__ == "__main__":
    main()

"""What it costs that a trace's files are read into memory of their own, and not mapped.

A mapped file that somebody cuts short ends the process that looks at it (SIGBUS); one that is read gives fewer bytes,
which is an error. Both ways in one run, on a saved trace of a full-size SD v1 U-Net (random weights, 512x512) in
float32: Q and K of one 64x64 layer, summed, so that mapped pages are really fetched; and a question of the viewer, a
place in the mean over all blocks, with nothing kept from the question before. With the file in the system's memory,
then without.

    python benchmarks/reading.py [--repeats 15]
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import torch
from harness import Report, in_turns
from safetensors import safe_open
from viewer_latency import save_trace

import attnscope
from attnscope.places import Box, View, box_map
from attnscope.storage import folder
from attnscope.storage.shards import Shard


class Mapped:
    """The shard through safetensors' own reader, which maps it."""

    def __init__(self, path: Path) -> None:
        self.file = safe_open(path, framework="pt")

    def read(self, shard: Shard, names: list[str]) -> tuple[dict[str, torch.Tensor], object]:
        return {name: self.file.get_tensor(name) for name in names}, shard.stamp


def forget(path: Path) -> None:
    """Ask the system to let the file's pages go."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=15)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        path = save_trace(Path(place))
        (shard_path,) = path.glob("*.safetensors")
        report = Report("reading", "a step of SD v1, float32, 64x64 latent")
        report.add("the shard", shard_path.stat().st_size / 1e6, "MB")
        with patch.object(folder, "KEPT_BYTES", 0):
            compare(report, path, shard_path, given.repeats)
        report.finish()


def compare(report: Report, path: Path, shard_path: Path, repeats: int) -> None:
    trace = attnscope.load_trace(path)
    mapped, layer = Mapped(shard_path), trace.layers.of_kind("self")[0]

    def by_map(run: Callable[[], object]) -> Callable[[], object]:
        def patched() -> object:
            with patch.object(Shard, "read", lambda shard, names: mapped.read(shard, list(names))):
                return run()

        return patched

    def one_layer() -> object:
        record = trace.records.get(0, layer.id)
        return float(record.query.sum()) + float(record.key.sum())

    def question() -> object:
        return box_map(trace, View(), Box.of_place(0.3, 0.7))

    def cold(run: Callable[[], object]) -> Callable[[], object]:
        def after() -> object:
            forget(shard_path)
            return run()

        return after

    for what, run in (("Q and K of a 64x64 layer", one_layer), ("a place, mean over all blocks", question)):
        for state, way in (("", lambda one: one), (", not in memory", cold)):
            read, maps = f"{what}{state}: read", f"{what}{state}: mapped"
            timings = in_turns({read: way(run), maps: way(by_map(run))}, repeats=repeats)
            report.add_timings(timings)
            report.add(f"{read}, median", 1e3 * timings.median(read), "ms")
            report.add(f"{maps}, median", 1e3 * timings.median(maps), "ms")


if __name__ == "__main__":
    main()

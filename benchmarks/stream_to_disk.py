"""A long run on disk within a budget: Q and K of a full-size SD v1 U-Net, step after step, peak memory measured.

Each step is a real pass of the U-Net (random weights, float32, 142 MB of Q and K a row). The plain run comes first,
in a process of its own; the difference of the two peaks is what capturing holds. The floor is one step.

    python benchmarks/stream_to_disk.py [--steps 50] [--budget 1GB] [--folder FOLDER]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from harness import Report, peak_resident_bytes

import attnscope
from attnscope.testing.full_size import full_size_unet, inputs


def run(steps: int, budget: str | None, folder: Path | None) -> None:
    """Prints peak memory and seconds of the passes."""
    unet = full_size_unet("sd1")
    arguments = inputs(unet, height=64, width=64)
    capture = None if folder is None else attnscope.capture(unet, where=folder, budget=budget)
    began = time.perf_counter()
    with torch.no_grad():
        if capture is None:
            for _ in range(steps):
                unet(*arguments)
        else:
            with capture:
                for _ in range(steps):
                    unet(*arguments)
    print(peak_resident_bytes(), time.perf_counter() - began)


def measured(*options: str) -> tuple[int, float]:
    command = [sys.executable, __file__, *options]
    peak, seconds = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()[-2:]
    return int(peak), float(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--plain-steps", type=int, default=4, help="of the plain run: memory does not grow")
    parser.add_argument("--budget", default="1GB")
    parser.add_argument("--folder", type=Path, help="where to write; a temporary folder by default")
    parser.add_argument("--inside", choices=["plain", "captured"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        run(given.steps, given.budget, given.folder if given.inside == "captured" else None)
        return
    plain, plain_s = measured("--inside", "plain", "--steps", str(given.plain_steps))
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        target = Path(folder) / "run.trace"
        options = ["--inside", "captured", "--steps", str(given.steps), "--budget", given.budget]
        peak, captured_s = measured(*options, "--folder", str(target))
        written = sum(path.stat().st_size for path in target.iterdir())
        trace = attnscope.load_trace(target)
        assert len(trace.steps) == given.steps
        trace.probabilities(block=1, kind="self", step=given.steps - 1, query=0)  # it opens and can be read
    report = Report(
        "stream_to_disk", f"{given.steps} steps of a SD v1 U-Net, float32, 1 row, budget {given.budget}"
    )
    report.seconds = {"plain, all steps": [plain_s], "captured, all steps": [captured_s]}
    report.add("written", written / 1e9, "GB")
    report.add("peak memory of the plain run", plain / 1e9, "GB")
    report.add("peak memory over the plain run", (peak - plain) / 1e9, "GB", "at most 1.2")
    report.add("seconds a step, plain", plain_s / given.plain_steps, "s")
    report.add("seconds a step, streamed", captured_s / given.steps, "s")
    report.finish()


if __name__ == "__main__":
    main()

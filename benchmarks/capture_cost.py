"""What capture costs: a full-size SD v1 U-Net pass with all 32 layers captured, against the plain pass.

Also, in the same run, the naive way: processors that materialise the attention probability (diffusers' own
AttnProcessor, which prompt-to-prompt and its followers build on), before a byte of it is stored. The floor is 1.0: the
plain pass. Runs are interleaved, so that a machine that drifts slows all of them; the ratio is that of medians.

    python benchmarks/capture_cost.py [--repeats 7] [--json FILE]
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import statistics
import sys
import time
from pathlib import Path

import torch
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0

import attnscope

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from full_size import full_size_unet, inputs


def seconds(run) -> float:
    gc.collect()
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--naive-repeats", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    unet = full_size_unet("sd1")
    arguments = inputs(unet, height=64, width=64)

    def plain():
        with torch.no_grad():
            unet(*arguments)

    def captured():
        with torch.no_grad(), attnscope.capture(unet):
            unet(*arguments)

    def materialised():
        unet.set_attn_processor(AttnProcessor())
        plain()
        unet.set_attn_processor(AttnProcessor2_0())

    plain(), captured()
    times: dict[str, list[float]] = {"plain": [], "captured": [], "materialised": []}
    for repeat in range(options.repeats):
        pairs = [("plain", plain), ("captured", captured)]
        for name, run in pairs if repeat % 2 else reversed(pairs):
            times[name].append(seconds(run))
        if repeat < options.naive_repeats:
            times["materialised"].append(seconds(materialised))
    medians = {name: statistics.median(values) for name, values in times.items() if values}
    report = {
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
        "shapes": "SD v1 U-Net, 860 M parameters, float32, 1 row, latent 64x64",
        "seconds": times,
        "ratio to plain": {name: median / medians["plain"] for name, median in medians.items()},
        "ratio run by run": sorted(b / a for a, b in zip(times["plain"], times["captured"], strict=True)),
    }
    text = json.dumps(report, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()

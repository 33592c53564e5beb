"""All attention maps of one denoising step on a GPU, by attnscope and by attention-map-diffusers.

The same head means of all 32 layers of a full-size Stable Diffusion v1 U-Net (random weights) at 512x512 with
guidance, from Q and K that both have kept on the card; as in ../peers.py, which is the same on a CPU.

    python benchmarks/gpu/maps.py [--repeats 20]
"""

from __future__ import annotations

import torch
from card import DEVICE, TYPES, parsed, peak_bytes, state, wall_seconds
from harness import Report, in_turns
from peers import (
    captured_by_amd,
    captured_by_attnscope,
    consume,
    maps_of_amd,
    maps_of_attnscope,
    pipeline,
    worst_difference,
)

CHANNELS = (320, 640, 1280, 1280)
TOY_CHANNELS = (16, 32, 32, 32)
TOY_SAMPLE_SIZE = 16
THEIR_REPEATS = 5
"""Each of theirs needs a capture of its own in memory."""


def main() -> None:
    given = parsed(__doc__)
    print(state(), flush=True)
    repeats = min(given.repeats, THEIR_REPEATS)
    report = Report("maps", "all head-mean maps of one step, SD v1's topology, guidance, kept on the card")
    for name in ("fp32",) if given.toy else ("fp16", "fp32"):
        measure(report, name, repeats, toy=given.toy)
    report.finish()


def measure(report: Report, name: str, repeats: int, *, toy: bool) -> None:
    pipe = pipeline(None, TOY_CHANNELS, TOY_SAMPLE_SIZE) if toy else pipeline(None, CHANNELS)
    pipe.to(DEVICE, TYPES[name])
    trace = captured_by_attnscope(pipe, "device")
    captures = [captured_by_amd(pipe, None) for _ in range(repeats + 2)]
    peaks = {
        "attnscope": peak_bytes(lambda: consume(maps_of_attnscope(trace))),
        "attention-map-diffusers": peak_bytes(lambda: consume(maps_of_amd(captures.pop()))),
    }
    timings = in_turns(
        {
            "attnscope": lambda: consume(maps_of_attnscope(trace)),
            "attention-map-diffusers": lambda: consume(maps_of_amd(captures.pop())),  # computes once each
        },
        repeats=repeats,
        clock=wall_seconds,
    )
    report.seconds.update({f"{name}: {who}": values for who, values in timings.seconds.items()})
    for who, peak in peaks.items():
        report.add(f"{name}: {who}, all maps of a step", 1e3 * timings.median(who), "ms")
        report.add(f"{name}: {who}, peak memory beyond Q and K", peak / 1e6, "MB")
    ratio = timings.ratio("attention-map-diffusers", "attnscope")
    report.add(f"{name}: attention-map-diffusers / attnscope", ratio, "times")
    del trace, captures
    torch.cuda.empty_cache()
    difference = worst_difference(pipe, ("device", None))
    report.add(f"{name}: worst difference between their maps", difference, "")


if __name__ == "__main__":
    main()

"""What DiffSeg costs on a GPU beyond the model: a full-size SD v1 U-Net (random weights, half precision).

As ../diffseg_cost.py on a CPU: the pass alone; the pass, its capture, aggregation, merging and labels; the same from
a trace that is there; merging again with another threshold, which is what a user waits for when he moves it.

    python benchmarks/gpu/diffseg.py [--repeats 20]
"""

from __future__ import annotations

from functools import partial

import torch
from capture import model
from card import DEVICE, parsed, peak_bytes, state, wall_seconds
from diffseg_merge import regions_attention
from harness import Report, in_turns

import attnscope
from attnscope.segmentation.methods.diffseg import DiffSegRecipe
from attnscope.segmentation.result import Evidence
from attnscope.segmentation.segment import segment_trace
from attnscope.testing.full_size import inputs

THRESHOLD = 0.95  # of the random network's attention
REGIONS_THRESHOLDS = (0.2, 0.5)  # of made-up attention with eight regions: some more segments, then eight


def main() -> None:
    given = parsed(__doc__)
    print(state(), flush=True)
    side = 8 if given.toy else 64
    unet = model("sd1", given.toy)
    arguments = inputs(unet, height=side, width=side)

    def plain():
        with torch.no_grad():
            unet(*arguments)

    def traced():
        with torch.no_grad(), attnscope.capture(unet, kind="self", where="device") as trace:
            unet(*arguments)
        return trace

    trace = traced()
    pixels_hw = (8 * side, 8 * side)
    recipe = DiffSegRecipe((REGIONS_THRESHOLDS[0],) * 3)
    made_up = Evidence(regions_attention(side).to(DEVICE), pixels_hw).segments(recipe)
    todo = {
        "plain pass": plain,
        "pass and segments": lambda: segment_trace(traced(), thresholds=THRESHOLD),
        "segments from a trace": lambda: segment_trace(trace, thresholds=THRESHOLD),
        **{f"merging again at {tau}": partial(made_up.again, tau) for tau in REGIONS_THRESHOLDS},
    }
    timings = in_turns(todo, repeats=given.repeats, clock=wall_seconds)
    report = Report(
        "diffseg", f"SD v1 U-Net, 1 row, {side}x{side} latent, {pixels_hw[0]}x{pixels_hw[1]} labels"
    )
    report.add_timings(timings)
    for name in todo:
        report.add(name, 1e3 * timings.median(name), "ms")
    beyond = timings.ratio("pass and segments", "plain pass") - 1
    report.add("all of DiffSeg beyond the pass / pass", beyond, "")
    for name, run in todo.items():
        report.add(f"peak memory, {name}", peak_bytes(run) / 1e6, "MB")
    report.finish()


if __name__ == "__main__":
    main()

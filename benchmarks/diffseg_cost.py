"""What DiffSeg costs beyond the model: a full-size SD v1 U-Net (random weights) on one 64x64 latent.

The floor is the U-Net pass alone. Beyond it come the capture, the aggregation of 16 layers (one head mean each),
the merging of 256 anchors with 4096 maps, and the labels of 512x512 pixels. Merging again is what a
user waits for when he moves the threshold.

    python benchmarks/diffseg_cost.py [--repeats 5]
"""

from __future__ import annotations

import argparse
from functools import partial

import torch
from diffseg_merge import regions_attention
from harness import Report, in_turns

import attnscope
from attnscope.segmentation.methods.diffseg import DiffSegRecipe
from attnscope.segmentation.result import Evidence
from attnscope.segmentation.segment import segment_trace
from attnscope.testing.full_size import full_size_unet, inputs

THRESHOLD = 0.95  # of the random network's attention, whose maps lie 0.8 to 1.05 nats apart
REGIONS_THRESHOLDS = (0.2, 0.5)  # of made-up attention with eight regions: some more segments, then eight


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    unet = full_size_unet("sd1")
    arguments = inputs(unet, height=64, width=64)

    def plain():
        with torch.no_grad():
            unet(*arguments)

    def traced():
        with torch.no_grad(), attnscope.capture(unet, kind="self") as trace:
            unet(*arguments)
        return trace

    trace = traced()
    made_up = Evidence(regions_attention(64), (512, 512)).segments(
        DiffSegRecipe((REGIONS_THRESHOLDS[0],) * 3)
    )
    merger = made_up.evidence.merger()
    timings = in_turns(
        {
            "plain pass": plain,
            "pass and segments": lambda: segment_trace(traced(), thresholds=THRESHOLD),
            "segments from a trace": lambda: segment_trace(trace, thresholds=THRESHOLD),
            **{f"merging alone at {tau}": partial(merger.merge, (tau,) * 3) for tau in REGIONS_THRESHOLDS},
            **{f"merging again at {tau}": partial(made_up.again, tau) for tau in REGIONS_THRESHOLDS},
        },
        repeats=given.repeats,
    )
    report = Report("diffseg_cost", "SD v1 U-Net, float32, 1 row, 64x64 latent, 512x512 labels")
    report.add_timings(timings)
    pass_s = timings.median("plain pass")
    report.add("U-Net pass", pass_s, "s")
    report.add(
        "all of DiffSeg beyond the pass / pass",
        timings.ratio("pass and segments", "plain pass") - 1,
        "",
        "at most 0.35",
    )
    report.add("segments from a trace / pass", timings.ratio("segments from a trace", "plain pass"), "")
    for tau in REGIONS_THRESHOLDS:
        count = len(made_up.again(tau))
        report.add(
            f"merging again at {tau}, {count} segments", 1e3 * timings.median(f"merging alone at {tau}"), "ms"
        )
        what = f"merging again at {tau}, {count} segments, labels included"
        report.add(what, 1e3 * timings.median(f"merging again at {tau}"), "ms", "under 150")
    report.finish()


if __name__ == "__main__":
    main()

"""What capture costs: a full-size SD v1 U-Net pass with all 32 layers captured, against the plain pass.

Also, in the same run, the naive way: processors that materialise the attention probability (diffusers' own
AttnProcessor, which prompt-to-prompt and its followers build on), before a byte of it is stored. The floor is a
pass whose queries and keys are put into a list and nothing else: what is kept can't be used again for the next layer's
numbers, and fresh memory has its price.

    python benchmarks/capture_cost.py [--repeats 15]
"""

from __future__ import annotations

import argparse

import torch
import torch.nn.functional as functional
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from harness import Report, in_turns

import attnscope
from attnscope.testing.full_size import full_size_unet, inputs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--naive-repeats", type=int, default=2)
    given = parser.parse_args()
    unet = full_size_unet("sd1")
    arguments = inputs(unet, height=64, width=64)

    def plain():
        with torch.no_grad():
            unet(*arguments)

    def captured():
        with torch.no_grad(), attnscope.capture(unet):
            unet(*arguments)

    def listed():
        kept, fused = [], functional.scaled_dot_product_attention

        def attention(query, key, *others, **settings):
            kept.append((query, key))
            return fused(query, key, *others, **settings)

        functional.scaled_dot_product_attention = attention
        try:
            plain()
        finally:
            functional.scaled_dot_product_attention = fused
        assert len(kept) == 32, "diffusers took the function from elsewhere"

    def materialised():
        unet.set_attn_processor(AttnProcessor())
        plain()
        unet.set_attn_processor(AttnProcessor2_0())

    report = Report("capture_cost", "SD v1 U-Net, 860 M parameters, float32, 1 row, 64x64 latent")
    timings = in_turns({"plain": plain, "listed": listed, "captured": captured}, repeats=given.repeats)
    naive = in_turns({"materialised": materialised}, repeats=given.naive_repeats, warm_up=0)
    report.add_timings(timings)
    report.add_timings(naive)
    pairs = zip(timings.seconds["captured"], timings.seconds["plain"], strict=True)
    ratios = sorted(captured / plain for captured, plain in pairs)
    report.add("plain pass", timings.median("plain"), "s")
    report.add("captured / plain, medians", timings.ratio("captured", "plain"), "", "at most 1.03")
    report.add("captured / plain, median of the pairs", ratios[len(ratios) // 2], "")
    report.add("captured / plain, least and most of the pairs", ratios[0], f"to {ratios[-1]:.2f}")
    report.add("Q and K put into a list / plain, medians", timings.ratio("listed", "plain"), "", "the floor")
    report.add(
        "probabilities materialised / plain", naive.median("materialised") / timings.median("plain"), ""
    )
    report.finish()


if __name__ == "__main__":
    main()

"""What each edit costs: a run of the demo model with it, against the plain run and against P materialised everywhere.

The naive way is prompt-to-prompt's: processors that materialise the attention probability of every layer, before a
number of it is changed. Tiles of P are all that an edit holds.

    python benchmarks/edit_cost.py [--repeats 5]
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import torch
from diffusers.models.attention_processor import AttnProcessor
from harness import Report, in_turns

import attnscope

PROMPT = "a red house and a green tree on the grass"
STEPS = 2
EDITS: dict[str, attnscope.editing.Edit] = {
    "Reweight('tree', 2.0)": attnscope.Reweight("tree", 2.0),
    "Region('tree', box)": attnscope.Region("tree", (0, 0, 1, 0.4)),
    "Ablate('tree')": attnscope.Ablate("tree"),
    "Ablate(block=7, kind='self', head=3)": attnscope.Ablate(block=7, kind="self", head=3),
    "Ablate(kind='self', to='mean')": attnscope.Ablate(kind="self", to="mean"),
    "Temperature(0.8, kind='cross')": attnscope.Temperature(0.8, kind="cross"),
    "Temperature(0.8)": attnscope.Temperature(0.8),
    "Replace(0, image=1)": attnscope.Replace(0, image=1),
    "Freeze(0, image=1, max_places=256)": attnscope.Freeze(0, image=1, max_places=256),
    "Custom(kind='cross')": attnscope.Custom(lambda p: p.clone(), kind="cross"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    pipe = attnscope.load_pipeline("demo")
    pipe.set_progress_bar_config(disable=True)

    def run(edit: attnscope.editing.Edit | None = None) -> None:
        how: dict[str, Any] = {"num_inference_steps": STEPS, "output_type": "latent"}
        prompts = [PROMPT, PROMPT]
        if edit is None:
            pipe(prompts, generator=torch.Generator().manual_seed(0), **how)
            return
        with attnscope.edit(pipe, edit):
            pipe(prompts, generator=torch.Generator().manual_seed(0), **how)

    def materialised() -> None:
        before = dict(pipe.unet.attn_processors)
        pipe.unet.set_attn_processor(AttnProcessor())
        run()
        pipe.unet.set_attn_processor(before)

    ways = {
        "plain": run,
        "materialised": materialised,
        **{name: partial(run, edit) for name, edit in EDITS.items()},
    }
    timings = in_turns(ways, repeats=given.repeats)
    report = Report(
        "edit_cost", f"the demo model, float32, two prompts with guidance, {STEPS} steps of 256x256 pixels"
    )
    report.add_timings(timings)
    for name in ways:
        if name != "plain":
            report.add(f"{name} / plain, medians", timings.ratio(name, "plain"), "")
    report.finish()


if __name__ == "__main__":
    main()

"""What capture costs on a GPU: full-size U-Nets of Stable Diffusion v1 and XL, captured against the plain pass.

Random weights, half precision, guidance (two rows), a capture of four passes. Q and K are kept on the card, on the
host (through page-locked memory) or in a folder. Beside them the naive way: processors that materialise the attention
probability (diffusers' own AttnProcessor), before a byte of it is stored.

    python benchmarks/gpu/capture.py [--repeats 20]
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from card import DEVICE, IS_GPU, parsed, peak_bytes, state, wall_seconds
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from harness import Report, in_turns
from torch import nn

import attnscope
from attnscope.testing.full_size import full_size_unet, inputs

PASSES = 4
ROWS = 2  # guidance
BRANCHES = ("uncond", "cond")
DISK_REPEATS = 3
CASES = (("sd1", 512), ("sd1", 1024), ("sdxl", 512), ("sdxl", 1024))
LATENT_PX = 8
ASKED = {"device": "at most 1.01", "host": "at most 1.05"}
TOY: dict[str, dict[str, Any]] = {
    "sd1": {"block_out_channels": (8, 16, 16, 16), "norm_num_groups": 4, "cross_attention_dim": 8},
    "sdxl": {
        "block_out_channels": (8, 16, 16),
        "norm_num_groups": 4,
        "cross_attention_dim": 8,
        "attention_head_dim": 2,
        "transformer_layers_per_block": (1, 1, 2),
    },
}


def model(name: str, toy: bool) -> nn.Module:
    if not toy:
        return full_size_unet(name, device=DEVICE, dtype=torch.float16)
    return full_size_unet(name, device=DEVICE, **TOY[name])


def passes(unet: nn.Module, arguments: tuple[Any, ...], capture: Any = None) -> None:
    with torch.no_grad(), capture or nullcontext():
        for _ in range(PASSES):
            unet(*arguments)


def to_disk(unet: nn.Module, arguments: tuple[Any, ...]) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        passes(unet, arguments, attnscope.capture(unet, where=folder / "run.trace", branches=BRANCHES))
    finally:
        shutil.rmtree(folder)


def materialised(unet: nn.Module, arguments: tuple[Any, ...]) -> None:
    unet.set_attn_processor(AttnProcessor())
    try:
        passes(unet, arguments)
    finally:
        unet.set_attn_processor(AttnProcessor2_0())


def bytes_a_pass(unet: nn.Module, arguments: tuple[Any, ...]) -> int:
    with torch.no_grad(), attnscope.capture(unet, where="device", branches=BRANCHES) as trace:
        unet(*arguments)
    records = (trace.records.get(0, layer) for layer in trace.records.layers)
    return sum(tensor.nbytes for record in records for tensor in record.tensors.values())


def measure(report: Report, unet: nn.Module, name: str, size_px: int, repeats: int) -> None:
    side = size_px // LATENT_PX
    arguments = inputs(unet, height=side, width=side, rows=ROWS)
    kept: dict[str, Callable[[], None]] = {
        "plain": partial(passes, unet, arguments),
        "device": lambda: passes(unet, arguments, attnscope.capture(unet, where="device", branches=BRANCHES)),
        "host": lambda: passes(unet, arguments, attnscope.capture(unet, where="cpu", branches=BRANCHES)),
    }
    rare: dict[str, Callable[[], None]] = {"disk": partial(to_disk, unet, arguments)}
    if name == "sd1" and size_px == min(size for _, size in CASES):  # P of the others does not fit
        rare["materialised"] = partial(materialised, unet, arguments)
    what = f"{name} {size_px} px"
    report.add(f"{what}: Q and K of a pass", bytes_a_pass(unet, arguments) / 1e6, "MB")
    timings = in_turns(kept, repeats=repeats, clock=wall_seconds)
    plain = timings.median("plain")
    report.seconds.update({f"{what}: {where}": values for where, values in timings.seconds.items()})
    report.add(f"{what}: plain pass", 1e3 * plain / PASSES, "ms")
    for where in ("device", "host"):
        report.add(f"{what}: kept on the {where} / plain", timings.median(where) / plain, "", ASKED[where])
    for where, run in rare.items():
        slow = in_turns({where: run}, repeats=min(repeats, DISK_REPEATS), clock=wall_seconds)
        report.add(f"{what}: {where} / plain", slow.median(where) / plain, "")
    for where, run in {**kept, **rare}.items():
        report.add(f"{what}: peak memory of {PASSES} passes, {where}", peak_bytes(run) / 1e6, "MB")


def main() -> None:
    given = parsed(__doc__)
    print(state(), flush=True)
    report = Report("capture", f"full U-Nets, fp16, {ROWS} rows, a capture of {PASSES} passes")
    for name in dict.fromkeys(name for name, _ in CASES):
        unet = model(name, given.toy)
        for size_px in [64] if given.toy else [size for other, size in CASES if other == name]:
            measure(report, unet, name, size_px, given.repeats)
        del unet
        if IS_GPU:
            torch.cuda.empty_cache()
    report.finish()


if __name__ == "__main__":
    main()

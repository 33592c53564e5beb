"""SDXL, Stable Diffusion 3 and Flux: what capture costs, and all attention maps of one step beside others.

Random pipelines of diffusers' own classes. "tiny" has 8 heads of 8 channels (SDXL 4 and 8), and the places of 1024x1024
pixels: 4096, and 1024 in SDXL's deeper blocks. "mid" has widths of some hundreds, at 512x512, for captures alone.

The same maps from both: head means of every layer that both give (attention-map-diffusers leaves out Flux's single
blocks), all keys and queries of joint attention. attention-map-diffusers
gives each of its four relations as a tensor of its own, attnscope one softmax of which they are parts. Both keep Q
and K during the run and compute afterwards; that part is timed. Memory is measured in a process of its own.

    pip install --no-deps attention-map-diffusers==1.0.0
    python benchmarks/families.py [--family flux] [--repeats 3] [--size tiny] [--cpu-time]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from harness import Report, cpu_seconds_of, in_turns, peak_resident_bytes, resident_bytes, seconds_of
from torch import Tensor

import attnscope
from attnscope.testing.tiny_models import tiny_pipeline
from attnscope.testing.transformers import tiny_transformer

PROMPT = "a red cat on the grass"
FAMILIES = ("sdxl", "sd3", "flux")
RELATIONS = ["text->text", "text->image", "image->text", "image->image"]
TINY: dict[str, dict[str, Any]] = {
    "sd3": {"pos_embed_max_size": 64, "num_attention_heads": 8, "caption_projection_dim": 64},
    "flux": {"num_attention_heads": 8},
}
MID: dict[str, dict[str, Any]] = {
    "sdxl": {"block_out_channels": (64, 128, 256), "attention_head_dim": (2, 4, 8), "transformer_layers": (1, 2, 6)},
    "sd3": {"num_layers": 8, "num_attention_heads": 8, "attention_head_dim": 64, "caption_projection_dim": 512},
    "flux": {
        "num_layers": 3, "num_single_layers": 6, "num_attention_heads": 8, "attention_head_dim": 64,
        "axes_dims_rope": (16, 24, 24),
    },
}  # fmt: skip


def pipeline(family: str, size: str) -> Any:
    changes = MID[family] if size == "mid" else {}
    with tempfile.TemporaryDirectory() as folder:
        if family == "sdxl":
            pipe = sdxl(Path(folder), **changes)
        else:
            pipe = tiny_transformer(family, Path(folder), **{**TINY[family], **changes})
    pipe.set_progress_bar_config(disable=True)
    return pipe


def sdxl(
    folder: Path,
    block_out_channels: tuple[int, ...] = (16, 32, 64),
    attention_head_dim: tuple[int, ...] = (2, 4, 8),
    transformer_layers: tuple[int, ...] = (1, 2, 3),
) -> Any:
    """A StableDiffusionXLPipeline with the blocks of the base model. attention_head_dim: diffusers' name for heads."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextModelWithProjection

    small = tiny_pipeline(folder)
    width = small.text_encoder.config.hidden_size
    second = CLIPTextModelWithProjection(small.text_encoder.config).eval()
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=128, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), norm_num_groups=4,
        block_out_channels=block_out_channels, attention_head_dim=attention_head_dim,
        transformer_layers_per_block=transformer_layers, cross_attention_dim=2 * width, use_linear_projection=True,
        addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + second.config.projection_dim,
    )  # fmt: skip
    return StableDiffusionXLPipeline(
        vae=small.vae, text_encoder=small.text_encoder, text_encoder_2=second, tokenizer=small.tokenizer,
        tokenizer_2=small.tokenizer, unet=unet.eval(), scheduler=EulerDiscreteScheduler(),
    )  # fmt: skip


def run(pipe: Any, pixels: int) -> None:
    """One step."""
    generator = torch.Generator().manual_seed(0)
    how = {"num_inference_steps": 1, "generator": generator, "output_type": "latent"}
    pipe(PROMPT, height=pixels, width=pixels, **how)


def captured(pipe: Any, pixels: int) -> attnscope.Trace:
    with attnscope.capture(pipe) as trace:
        run(pipe, pixels)
    return trace


def both_give(trace: attnscope.Trace) -> list[Any]:
    return [layer for layer in trace.layers if not layer.path.startswith("single_")]


def maps_of_attnscope(trace: attnscope.Trace) -> Iterator[tuple[str, Tensor]]:
    """(path of the layer, (query, key)), one branch after the other."""
    for layer in both_give(trace):
        for branch in trace.branches:
            how = {"branch": branch, "image": 0, "step": 0, "mean": "head"}
            yield layer.path, trace.probabilities(layer=layer.path, **how)


def captured_by_amd(pipe: Any, pixels: int) -> Any:
    from attention_map_diffusers import AttentionCapture

    with AttentionCapture(pipe, relations=RELATIONS, allow_large_maps=True) as capture:
        run(pipe, pixels)
    return capture


def maps_of_amd(capture: Any) -> Iterator[tuple[str, Tensor]]:
    for record in capture.compute():
        yield f"{record.layer_id} {record.relation}", record.data[:, 0]


def consume(maps: Iterator[tuple[str, Tensor]]) -> None:
    for each in maps:
        del each  # or it would stay until the next one is there


def worst_difference(trace: attnscope.Trace, capture: Any) -> float:
    """Each of their relations against the part of our map that it is."""
    theirs: dict[str, dict[str, Tensor]] = {}
    for name, value in maps_of_amd(capture):
        layer, relation = name.rsplit(" ", 1)
        theirs.setdefault(layer.partition(".")[2], {})[relation] = value
    worst = 0.0
    for layer in both_give(trace):
        for relation, value in theirs.pop(layer.path).items():
            ours = trace.probabilities(layer=layer.path, image=0, step=0, mean="head", relation=relation)
            worst = max(worst, float((ours - value).abs().max()))
    assert not theirs, f"maps of {sorted(theirs)}, which attnscope does not give"
    return worst


def print_memory(of: str, family: str) -> None:
    """Peak of resident memory while the maps are computed, over what was there after a plain run."""
    pipe = pipeline(family, "tiny")
    run(pipe, 1024)
    before = resident_bytes()
    if of == "attnscope":
        consume(maps_of_attnscope(captured(pipe, 1024)))
    else:
        consume(maps_of_amd(captured_by_amd(pipe, 1024)))
    print(peak_resident_bytes() - before)


def memory(of: str, family: str) -> int:
    command = [sys.executable, __file__, "--memory-of", of, "--family", family]
    return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()[-1])


def add_capture(report: Report, family: str, size: str, repeats: int, clock: Callable) -> None:
    pipe, pixels = pipeline(family, size), 1024 if size == "tiny" else 512
    runs = {"plain": lambda: run(pipe, pixels), "captured": lambda: captured(pipe, pixels)}
    timings = in_turns(runs, repeats=repeats, clock=clock)
    named = {f"{family}, {size}, {name}": seconds for name, seconds in timings.seconds.items()}
    report.seconds.update(named)
    report.add(
        f"{family}, {size}: captured / plain step of the pipeline", timings.ratio("captured", "plain"), ""
    )


def add_maps(report: Report, family: str, repeats: int, clock: Callable) -> None:
    pipe = pipeline(family, "tiny")
    trace, captures = captured(pipe, 1024), [captured_by_amd(pipe, 1024) for _ in range(repeats)]
    report.add(
        f"{family}: worst difference between their maps", worst_difference(trace, captures[0]), "", "1e-5"
    )
    captures[0] = captured_by_amd(pipe, 1024)
    timings = in_turns(
        {
            "attnscope": lambda: consume(maps_of_attnscope(trace)),
            "amd": lambda: consume(maps_of_amd(captures.pop())),  # computes once each
        },
        repeats=repeats,
        warm_up=0,
        clock=clock,
    )
    report.seconds.update({f"{family}, maps, {name}": seconds for name, seconds in timings.seconds.items()})
    report.add(f"{family}: all maps of a step", timings.median("attnscope"), "s")
    ratio = timings.ratio("amd", "attnscope")
    report.add(f"{family}: attention-map-diffusers 1.0.0 / attnscope, time", ratio, "times", "at least 20")
    ours, theirs = memory("attnscope", family), memory("amd", family)
    report.add(f"{family}: peak memory over the model", ours / 1e6, "MB")
    report.add(f"{family}: attnscope / attention-map-diffusers, memory", ours / theirs, "", "under 0.2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--family", choices=FAMILIES, help="all by default")
    parser.add_argument("--size", choices=["tiny", "mid"], help="of captures; both by default")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--map-repeats", type=int, default=3, help="0 leaves the maps out")
    parser.add_argument(
        "--cpu-time", action="store_true", help="of this process, where others take the cores"
    )
    parser.add_argument("--memory-of", choices=["attnscope", "amd"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.memory_of:
        print_memory(given.memory_of, given.family)
        return
    clock = cpu_seconds_of if given.cpu_time else seconds_of
    report = Report("families", "random SDXL, SD3 and Flux of diffusers' classes, one step, float32")
    for family in [given.family] if given.family else FAMILIES:
        for size in [given.size] if given.size else ("tiny", "mid"):
            add_capture(report, family, size, given.repeats, clock)
        if given.map_repeats:
            add_maps(report, family, given.map_repeats, clock)
    report.finish()


if __name__ == "__main__":
    main()

"""All attention maps of one denoising step, by attnscope, by attention-map-diffusers, and by daam.

The same maps from both of the first: head means of all 32 layers of a U-Net of Stable Diffusion v1's topology with
narrow channels and random weights, at 512x512 with guidance (32 maps for each of two branches, 1.1 GB). Both keep Q
and K during the run and compute afterwards; that part is timed. attnscope gives one map after the other (nobody has
to hold 1.1 GB to look at a map); attention-map-diffusers gives all of them together.

daam 0.2.0 needs diffusers 0.21 and so an environment of its own, named by --daam-python; without it, it is left out.

    pip install --no-deps attention-map-diffusers==1.0.0      # its torchvision has no CPU build that fits
    python benchmarks/peers.py [--repeats 3] [--model FOLDER] [--daam-python PYTHON]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from harness import Report, in_turns, peak_resident_bytes, resident_bytes
from torch import Tensor

import attnscope
from attnscope.testing.tiny_models import tiny_pipeline, tiny_unet

PROMPT = "a red cat on the grass"
DAAM = """
import json, sys, time, torch
from diffusers import StableDiffusionPipeline
from daam import trace
pipe = StableDiffusionPipeline.from_pretrained(sys.argv[1], safety_checker=None)
pipe.set_progress_bar_config(disable=True)
run = lambda: pipe(sys.argv[2], num_inference_steps=int(sys.argv[3]), generator=torch.Generator().manual_seed(0))
run()
times = {"plain": [], "traced": [], "heat map": []}
for _ in range(3):
    start = time.perf_counter(); run(); times["plain"].append(time.perf_counter() - start)
    start = time.perf_counter()
    with torch.no_grad(), trace(pipe) as tc:
        run()
        times["traced"].append(time.perf_counter() - start)
        start = time.perf_counter()
        tc.compute_global_heat_map().compute_word_heat_map(sys.argv[4])
        times["heat map"].append(time.perf_counter() - start)
print(json.dumps(times))
"""


def pipeline(
    model: Path | None, channels: tuple[int, ...] = (32, 64, 64, 64), sample_size: int = 64
) -> StableDiffusionPipeline:
    """channels, sample_size: of a random U-Net, where no model is given."""
    if model is None:
        with tempfile.TemporaryDirectory() as folder:
            pipe = tiny_pipeline(Path(folder))
        pipe.unet = tiny_unet(sample_size=sample_size, block_out_channels=channels)
    else:
        pipe = StableDiffusionPipeline.from_pretrained(model, safety_checker=None).to(torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def run(pipe: StableDiffusionPipeline) -> None:
    """One step at the model's own size, 512x512 where none is given."""
    generator = torch.Generator().manual_seed(0)
    pipe(PROMPT, num_inference_steps=1, generator=generator, output_type="latent")


def captured_by_attnscope(pipe: StableDiffusionPipeline, where: str = "cpu") -> attnscope.Trace:
    with attnscope.capture(pipe, where=where) as trace:
        run(pipe)
    return trace


def maps_of_attnscope(trace: attnscope.Trace) -> Iterator[tuple[str, Tensor]]:
    """(path of the layer, (branch, query, key)), one after the other."""
    for layer in trace.layers:
        yield layer.path, trace.probabilities(block=layer.block, kind=layer.kind, image=0, mean="head")


def captured_by_amd(pipe: StableDiffusionPipeline, where: str | None = "cpu"):
    """where: 'cpu', or None for the device that computed it."""
    from attention_map_diffusers import AttentionCapture

    with AttentionCapture(pipe, relations=["image->image", "image->text"], offload=where) as capture:
        run(pipe)
    return capture


def maps_of_amd(capture) -> Iterator[tuple[str, Tensor]]:
    for record in capture.compute():
        yield record.layer_id, record.data[:, 0]


def consume(maps: Iterator[tuple[str, Tensor]]) -> None:
    for _ in maps:
        pass


def worst_difference(pipe: StableDiffusionPipeline, where: tuple[str, str | None] = ("cpu", "cpu")) -> float:
    ours = maps_of_attnscope(captured_by_attnscope(pipe, where[0]))
    theirs = {
        path.removeprefix("unet."): value for path, value in maps_of_amd(captured_by_amd(pipe, where[1]))
    }
    differences = [float((value - theirs.pop(path)).abs().max()) for path, value in ours]
    assert not theirs, f"maps of {len(theirs)} layers that attnscope does not give"
    return max(differences)


def print_memory(of: str, model: Path | None) -> None:
    """Peak of resident memory while the maps are computed, over what was there before the run."""
    pipe = pipeline(model)
    run(pipe)
    before = resident_bytes()
    capture, maps = {
        "attnscope": (captured_by_attnscope, maps_of_attnscope),
        "amd": (captured_by_amd, maps_of_amd),
    }[of]
    consume(maps(capture(pipe)))
    print(peak_resident_bytes() - before)


def memory(of: str, model: Path | None) -> int:
    command = [sys.executable, __file__, "--memory-of", of, *(["--model", str(model)] if model else [])]
    return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()[-1])


def add_daam(report: Report, python: Path, pipe: StableDiffusionPipeline, steps: int) -> None:
    """daam on the same weights with its own diffusers; its times are compared with its own plain runs."""
    with tempfile.TemporaryDirectory() as folder:
        pipe.save_pretrained(folder)
        pipe.tokenizer.backend_tokenizer.model.save(
            str(Path(folder) / "tokenizer")
        )  # as transformers 4 reads it
        command = [str(python), "-W", "ignore", "-c", DAAM, folder, PROMPT, str(steps), "cat"]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        print(f"daam does not run: {done.stderr}")
        return
    times = {f"daam {name}": values for name, values in json.loads(done.stdout.splitlines()[-1]).items()}
    report.seconds.update(times)
    traced, plain = (sorted(times[f"daam {name}"])[1] for name in ("traced", "plain"))
    report.add(f"daam: traced run of {steps} steps / its own plain run", traced / plain, "")
    report.add("daam: one word's heat map afterwards", 1e3 * sorted(times["daam heat map"])[1], "ms")


def add_words(report: Report, pipe: StableDiffusionPipeline, steps: int, repeats: int) -> None:
    """The same for attnscope: a run whose cross-attention is kept, and one word's heat map by DAAM's rules."""

    def plain():
        pipe(PROMPT, num_inference_steps=steps, generator=torch.Generator().manual_seed(0))

    def traced():
        with attnscope.capture(pipe, kind="cross", branch="cond") as trace:
            plain()
        return trace

    trace = traced()
    heat = {"attnscope heat map": lambda: attnscope.heat_map(trace, "cat", preset="daam")}
    timings = in_turns({"attnscope plain": plain, "attnscope traced": traced, **heat}, repeats=repeats)
    report.add_timings(timings)
    ratio = timings.ratio("attnscope traced", "attnscope plain")
    report.add(f"attnscope: traced run of {steps} steps / its own plain run", ratio, "")
    report.add("attnscope: one word's heat map afterwards", 1e3 * timings.median("attnscope heat map"), "ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4, help="of the runs that daam is compared on")
    parser.add_argument("--model", type=Path, help="a Stable Diffusion v1 folder; a random one by default")
    parser.add_argument("--daam-python", type=Path, help="Python of an environment with daam 0.2.0")
    parser.add_argument("--memory-of", choices=["attnscope", "amd"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.memory_of:
        print_memory(given.memory_of, given.model)
        return
    pipe = pipeline(given.model)
    report = Report("peers", "all head-mean maps of one step, SD v1's topology, 512x512, guidance, float32")
    trace, captures = captured_by_attnscope(pipe), [captured_by_amd(pipe) for _ in range(given.repeats)]
    timings = in_turns(
        {
            "attnscope": lambda: consume(maps_of_attnscope(trace)),
            "attention-map-diffusers": lambda: consume(maps_of_amd(captures.pop())),  # computes once each
        },
        repeats=given.repeats,
        warm_up=0,
    )
    report.add_timings(timings)
    report.add("attnscope: all maps of a step", timings.median("attnscope"), "s")
    report.add("attention-map-diffusers 1.0.0: the same maps", timings.median("attention-map-diffusers"), "s")
    ratio = timings.ratio("attention-map-diffusers", "attnscope")
    report.add("attention-map-diffusers / attnscope", ratio, "times", "at least 25")
    report.add("worst difference between their maps", worst_difference(pipe), "", "at most 1e-5")
    report.add(
        "peak memory over the model, attnscope", memory("attnscope", given.model) / 1e6, "MB", "under 300"
    )
    report.add("peak memory over the model, attention-map-diffusers", memory("amd", given.model) / 1e6, "MB")
    add_words(report, pipe, given.steps, given.repeats)
    if given.daam_python:
        add_daam(report, given.daam_python, pipe, given.steps)
    report.finish()


if __name__ == "__main__":
    main()

"""`attnscope generate`: a picture from a prompt, with the attention that made it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from attnscope.cli.loading import load
from attnscope.cli.options import (
    MAX_TRACE_GB,
    Config,
    Device,
    Dtype,
    Force,
    Json,
    Model,
    Output,
    Seed,
    Size,
    parse_size,
)
from attnscope.cli.output import print_json, refuse_overwriting, working
from attnscope.cli.targets import expect_folder, refuse_inside_a_trace
from attnscope.errors import ParameterError

EXAMPLES = """Examples:

  attnscope generate "a red house on grass"

  attnscope generate "a blue star" -o star -s 7 -n 30 --force

  attnscope generate "a picture" -o any --open-words"""


def generate_command(
    prompt: Annotated[str, typer.Argument(help="What the picture should show.")],
    model: Model = "demo",
    output: Output = Path("output"),
    seed: Seed = 0,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps",
            "-n",
            help="Denoising steps; by default 20, or for a transformer its pipeline's own number.",
        ),
    ] = None,
    guidance_scale: Annotated[
        float | None,
        typer.Option("--guidance-scale", help="1 turns it off; by default the pipeline's own (demo: 3)."),
    ] = None,
    negative_prompt: Annotated[
        str | None, typer.Option("--negative-prompt", help="What the picture should not show.")
    ] = None,
    true_cfg_scale: Annotated[
        float | None,
        typer.Option(
            "--true-cfg-scale", help="Guidance scale for the negative prompt, with Flux and similar models."
        ),
    ] = None,
    size: Size = None,
    keep: Annotated[
        Literal["all", "self", "cross"], typer.Option("--keep", help="Attention that the trace keeps.")
    ] = "all",
    keep_every: Annotated[int, typer.Option("--keep-every", help="Keep every N-th step.")] = 1,
    keep_branch: Annotated[
        Literal["all", "cond", "uncond"],
        typer.Option("--keep-branch", help="Guidance branches that the trace keeps."),
    ] = "all",
    open_words: Annotated[
        bool,
        typer.Option(
            "--open-words", help="Also keep what heatmap --open needs for words that are not in the prompt."
        ),
    ] = False,
    previews: Annotated[
        bool,
        typer.Option("--previews", help="Also keep a small picture of each step, for heatmap --animate."),
    ] = False,
    max_trace_gb: Annotated[
        float, typer.Option("--max-trace-gb", help="Refuse to make a larger trace.")
    ] = MAX_TRACE_GB,
    config: Config = None,
    device: Device = None,
    dtype: Dtype = None,
    as_json: Json = False,
    force: Force = False,
) -> None:
    """Make a picture and explain it: output.png, run.trace, one heat map per word and words.png.

    The picture is bit for bit the one that the pipeline makes without capture.
    """
    expect_folder(output, "output.png, run.trace and pictures of words")
    refuse_inside_a_trace(output)
    with working("loading torch"):
        from attnscope.cli.run import draw_words, run_captured, written
        from attnscope.demo import GUIDANCE_SCALE
        from attnscope.generating.plan import Plan

    files, folders = written(output)
    refuse_overwriting(*files, folders=folders, force=force)
    if keep_every < 1:
        raise ParameterError(f"--keep-every {keep_every}: expected 1 or more")
    kept: dict[str, Any] = {
        "kind": None if keep == "all" else keep,
        "branch": None if keep_branch == "all" else keep_branch,
        "steps": slice(None, None, keep_every) if keep_every > 1 else None,
        "open_words": open_words,
        "previews": previews,
    }
    if guidance_scale is None and model == "demo":
        guidance_scale = GUIDANCE_SCALE
    plan = Plan(
        prompt,
        seed,
        steps,
        guidance_scale,
        negative_prompt,
        parse_size(size),
        true_cfg_scale,
        keep=kept,
    )
    pipe = load(model, config=config, device=device, dtype=dtype)
    _, trace = run_captured(pipe, plan, output, max_trace_gb=max_trace_gb)
    maps = draw_words(trace, output) if keep != "self" and keep_branch != "uncond" else []
    if as_json:
        print_json(
            {
                "picture": str(output / "output.png"),
                "trace": str(output / "run.trace"),
                "words": [
                    {"word": heat.word, "mean": float(heat.array.mean()), "peak": list(heat.peak)}
                    for heat in maps
                ],
            }
        )

"""`attnscope heatmap`: where the words of a trace's prompt landed, or those of a photo are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from attnscope.cli.loading import open_pass
from attnscope.cli.options import Config, Device, Dtype, Force, Json, Pass, parse_numbers
from attnscope.cli.output import print_json, refuse_overwriting, working
from attnscope.cli.photo import is_photo, prompt_and_words, read, refuse_for_a_trace
from attnscope.cli.tables import PlainTable
from attnscope.cli.targets import refuse_inside_a_trace
from attnscope.cli.terminal import data_console
from attnscope.cli.views import Animate, Grid, Minus, MinusTrace, Mp4, Seconds, View, write_view
from attnscope.cli.word_maps import read_words, write_maps
from attnscope.errors import ParameterError

EXAMPLES = """Examples (after `attnscope generate "a red house on grass"`):

  attnscope heatmap output/run.trace house grass -o maps

  attnscope heatmap output/run.trace "red house" --blocks 11-16 --json

  attnscope heatmap output/output.png "a red house on grass" house -o photo

One word minus another, each head separately, and the steps one after another:

  attnscope heatmap output/run.trace house --minus grass -o views

  attnscope heatmap output/run.trace house --grid -o views

  attnscope heatmap output/run.trace house --animate -o views

Words that are not in the prompt (after `attnscope generate "a picture" -o any --open-words`):

  attnscope heatmap any sun "a red house" --open -o maps"""


def heatmap_command(
    source: Annotated[
        Path,
        typer.Argument(metavar="TRACE", help="Folder of a trace, such as output/run.trace; or a photo."),
    ],
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WORD",
            help="Words or phrases of the branch's text; by default all of its words. "
            "For a photo the first one is a text that describes it.",
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="PLACE",
            help="Folder for WORD.heat.png, or for one word the name of the file.",
        ),
    ] = Path(),
    preset: Annotated[
        Literal["daam", "ovam"] | None, typer.Option("--preset", help="Follow the rules of DAAM or OVAM.")
    ] = None,
    steps: Annotated[
        str | None, typer.Option("--steps", "--step", metavar="0,5-9", help="Only these steps.")
    ] = None,
    blocks: Annotated[
        str | None, typer.Option("--blocks", "--block", metavar="1,5-7", help="Only these blocks.")
    ] = None,
    heads: Annotated[
        str | None, typer.Option("--heads", "--head", metavar="0,2-3", help="Only these heads.")
    ] = None,
    branch: Annotated[
        str,
        typer.Option(
            "--branch", help="Guidance branch, with its own words: cond, or uncond for the negative prompt."
        ),
    ] = "cond",
    image: Annotated[int, typer.Option("--image", help="Which image of the batch, from 0.")] = 0,
    kind: Annotated[
        str,
        typer.Option("--kind", help="cross for the text; image, image2 ... for an IP-Adapter's pictures."),
    ] = "cross",
    occurrence: Annotated[
        int, typer.Option("--occurrence", help="Which occurrence of a repeated word, from 0.")
    ] = 0,
    open_words: Annotated[
        bool,
        typer.Option("--open", help="Words need not be in the prompt: each is read as a text of its own."),
    ] = False,
    context: Annotated[
        str | None,
        typer.Option("--context", metavar="TEXT", help="With --open: a text that contains the words."),
    ] = None,
    of_pass: Pass = None,
    timestep: Annotated[
        int | None,
        typer.Option(
            "--timestep", help="For a photo: the timestep at which it is read, 0..999; 300 by default."
        ),
    ] = None,
    noise_seed: Annotated[
        int | None,
        typer.Option("--noise-seed", help="For a photo: add the timestep's noise, from this seed."),
    ] = None,
    invert: Annotated[
        bool, typer.Option("--invert", help="For a photo: read the steps of DDIM inversion.")
    ] = False,
    null_text: Annotated[
        bool,
        typer.Option(
            "--null-text", help="For a photo: invert it, and read the steps that make it again with guidance."
        ),
    ] = False,
    inversion_steps: Annotated[
        int | None,
        typer.Option("--inversion-steps", help="Steps of --invert and --null-text; 50 by default."),
    ] = None,
    crop: Annotated[bool, typer.Option("--crop", help="For a photo: use only its middle square.")] = False,
    save_trace: Annotated[
        Path | None,
        typer.Option(
            "--save-trace",
            metavar="FOLDER",
            help="For a photo: keep its trace, for view and the other commands.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Model that reads a photo, by default demo; with --open, by default the one that the trace names.",
        ),
    ] = None,
    config: Config = None,
    device: Device = None,
    dtype: Dtype = None,
    same_scale: Annotated[
        bool,
        typer.Option("--same-scale", help="One colour scale for all words, so that maps can be compared."),
    ] = False,
    numbers: Annotated[
        bool, typer.Option("--numbers", help="Also write the map's values, WORD.heat.npy.")
    ] = False,
    minus: Minus = None,
    minus_trace: MinusTrace = None,
    grid: Grid = False,
    animate: Animate = False,
    mp4: Mp4 = False,
    seconds: Seconds = None,
    as_json: Json = False,
    force: Force = False,
) -> None:
    """Draw the heat map of each word over the picture, and print where it peaks.

    A photo is read by a model, with a text that describes it: attnscope heatmap photo.jpg "a cat on a sofa" cat
    """
    view = View(minus, minus_trace, grid, animate, mp4, seconds)
    view.check({"--preset": preset, "--same-scale": same_scale, "--numbers": numbers})
    with working(f"reading {source}"):
        import attnscope.heatmap.heat_map  # noqa: F401, takes its time with torch
    for_photos = {
        "timestep": timestep,
        "noise_seed": noise_seed,
        "invert": invert or None,
        "null_text": null_text or None,
        "num_inference_steps": inversion_steps,
        "crop": crop or None,
    }
    model_options = {"model": model, "config": config, "device": device, "dtype": dtype}
    if is_photo(source):
        if of_pass is not None:
            raise ParameterError(f"--pass {of_pass}: {source} is a photo; only a trace has passes")
        prompt, words = prompt_and_words(source, words)
        refuse_inside_a_trace(output)
        if words:
            refuse_overwriting(*view.files(output, words, drawn=True), force=force)
        model_options["model"] = model or "demo"
        kept = {"open_words": True} if open_words else {}
        opened = read(
            source,
            prompt,
            model_options,
            {name: value for name, value in for_photos.items() if value is not None} | kept,
            kept_in=save_trace,
            force=force,
        )
    else:
        unread = {} if open_words else model_options
        refuse_for_a_trace(source, {**for_photos, **unread, "save_trace": save_trace})
        opened = open_pass(source, of_pass)
    asked: dict[str, Any] = {
        "kind": kind,
        "branch": branch,
        "image": image,
        "occurrence": occurrence,
        "open_words": open_words,
        "context": context,
        "model": model_options,
    }
    readings = read_words(opened, words, **asked)
    spans = [span for _, of_text in readings for span in of_text]
    files = view.files(output, [span.word for span in spans], drawn=opened.picture_of(image) is not None)
    with_numbers = [file.with_suffix(".npy") for file in files if numbers]
    refuse_inside_a_trace(output)
    refuse_overwriting(*dict.fromkeys((*files, *with_numbers)), force=force)
    choice: dict[str, Any] = {
        "preset": preset,
        "steps": parse_numbers("--steps", steps),
        "blocks": parse_numbers("--blocks", blocks),
        "heads": parse_numbers("--heads", heads),
        "branch": branch,
        "image": image,
        "kind": kind,
    }
    if view.name == "maps":
        shown = write_maps(readings, files, choice, same_scale=same_scale, numbers=numbers)
    else:
        choice |= {"same_scale": same_scale, "numbers": numbers}
        shown = write_view(view, opened, readings, files, choice, asked)
    if as_json:
        print_json(shown.objects)
        return
    data_console().print(PlainTable(shown.title, shown.columns, shown.rows))

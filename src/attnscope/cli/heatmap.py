"""`attnscope heatmap`: where the words of a trace's prompt landed, or those of a photo are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from attnscope.cli.loading import open_pass
from attnscope.cli.open_words import readings_of
from attnscope.cli.options import Config, Device, Dtype, Force, Json, Pass, parse_numbers
from attnscope.cli.output import (
    counted,
    print_json,
    progress,
    refuse_overwriting,
    say_wrote,
    working,
)
from attnscope.cli.photo import is_photo, prompt_and_words, read, refuse_for_a_trace
from attnscope.cli.tables import PlainTable
from attnscope.cli.targets import map_files, refuse_inside_a_trace
from attnscope.cli.terminal import data_console
from attnscope.errors import ParameterError, WordError
from attnscope.files.names import file_names

if TYPE_CHECKING:
    from attnscope.heatmap.result import HeatMap
    from attnscope.records import TokenSpan
    from attnscope.trace.trace import Trace

EXAMPLES = """Examples (after `attnscope generate "a red house on grass"`):

  attnscope heatmap output/run.trace house grass -o maps

  attnscope heatmap output/run.trace "red house" --blocks 11-16 --json

  attnscope heatmap output/output.png "a red house on grass" house -o photo

Of words that are not in the prompt (after `attnscope generate "a picture" -o any --open-words`):

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
            help="Words or phrases of the text that the branch reads; all words by default. Of a photo the first "
            "is the text that it is read with.",
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="PLACE", help="Folder for WORD.heat.png; or, of one word, the file."
        ),
    ] = Path(),
    preset: Annotated[
        Literal["daam", "ovam"] | None, typer.Option("--preset", help="Repeat the rules of DAAM or OVAM.")
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
    occurrence: Annotated[int, typer.Option("--occurrence", help="Of a word that comes twice, from 0.")] = 0,
    open_words: Annotated[
        bool,
        typer.Option("--open", help="Words need not be in the prompt: each is read as a text of its own."),
    ] = False,
    context: Annotated[
        str | None,
        typer.Option("--context", metavar="TEXT", help="With --open: a text that has the words."),
    ] = None,
    of_pass: Pass = None,
    timestep: Annotated[
        int | None, typer.Option("--timestep", help="Of a photo's pass, 0..999; 300 by default.")
    ] = None,
    noise_seed: Annotated[
        int | None, typer.Option("--noise-seed", help="Of a photo: add the timestep's noise.")
    ] = None,
    invert: Annotated[
        bool, typer.Option("--invert", help="Of a photo: read the steps of DDIM inversion.")
    ] = False,
    null_text: Annotated[
        bool,
        typer.Option(
            "--null-text", help="Of a photo: invert it, and read the steps that make it again with guidance."
        ),
    ] = False,
    inversion_steps: Annotated[
        int | None, typer.Option("--inversion-steps", help="Of --invert and --null-text; 50 by default.")
    ] = None,
    crop: Annotated[bool, typer.Option("--crop", help="Of a photo: its middle square.")] = False,
    save_trace: Annotated[
        Path | None,
        typer.Option(
            "--save-trace", metavar="FOLDER", help="Of a photo: keep its trace, for view and the rest."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Of a photo, demo by default; with --open, as the trace names it by default.",
        ),
    ] = None,
    config: Config = None,
    device: Device = None,
    dtype: Dtype = None,
    same_scale: Annotated[
        bool, typer.Option("--same-scale", help="One colour scale for all words, so that maps compare.")
    ] = False,
    numbers: Annotated[
        bool, typer.Option("--numbers", help="Write WORD.heat.npy too: the map's values.")
    ] = False,
    as_json: Json = False,
    force: Force = False,
) -> None:
    """Draw the heat map of each word over the picture, and print where it peaks.

    A photo is read by a model with a text: attnscope heatmap photo.jpg "a cat on a sofa" cat
    """
    with working(f"reading {source}"):
        from attnscope.heatmap.heat_map import heat_maps
        from attnscope.heatmap.picture_keys import picture_span, picture_spans
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
            refuse_overwriting(*map_files(output, file_names(words), drawn=True), force=force)
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
    readings: list[tuple[Trace, Sequence[TokenSpan]]] = []
    if open_words:
        where = {"branch": branch, "image": image, "occurrence": occurrence}
        readings = readings_of(opened, words, context, model_options, kind=kind, **where)
        spans = [span for _, of_text in readings for span in of_text]
    elif context is not None:
        raise ParameterError("--context is for words that are not in the prompt: add --open")
    elif kind == "cross":
        spans = chosen_spans(opened, words, image, occurrence, branch)
    else:
        spans = [picture_span(opened, word, kind) for word in words] if words else picture_spans(opened, kind)
    names = file_names(span.word for span in spans)
    files = map_files(output, names, drawn=opened.picture_of(image) is not None)
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
    with progress("heat maps") as bars:
        tell = counted(bars, "heat maps")
        maps = [
            heat
            for trace_read, of_text in readings or [(opened, spans)]
            for heat in heat_maps(trace_read, of_text, progress=tell, **choice)
        ]
    save_maps(maps, files, same_scale=same_scale, numbers=numbers)
    objects = [map_object(heat, span, file) for heat, span, file in zip(maps, spans, files, strict=True)]
    if as_json:
        print_json(objects)
        return
    rows = [
        (entry["word"], f"{entry['mean']:.4f}", f"{entry['maximum']:.4f}", str(tuple(entry["peak"])))
        for entry in objects
    ]
    columns = ("Word", "Mean share", "Maximum", "Peak (row, column)")
    data_console().print(PlainTable("Attention to each word", columns, rows))


def chosen_spans(
    trace: Trace, words: Sequence[str] | None, image: int, occurrence: int = 0, branch: str = "cond"
) -> list[TokenSpan]:
    """The words that were asked for, or all of the prompt.

    Args:
        trace: A trace of one pass.
        words: Words or phrases. None: all.
        image: Which image of the batch, from 0.
        occurrence: Which one of several such words, from 0; -1 is the last.
        branch: Guidance branch, whose own text is meant.

    Raises:
        WordError: The branch's text lacks a word, has none at all, or is unknown.
    """
    from attnscope.trace.texts import read_text

    if words:
        try:
            return [trace.span(word, image=image, occurrence=occurrence, branch=branch) for word in words]
        except WordError as error:
            if not trace.records.projections:
                raise
            raise WordError(f"{error}; to read it all the same: --open") from None
    read = read_text(trace.run, branch, image)
    if spans := list(read.known_words()):
        return spans
    raise WordError(f"no words: the {read.name} has none, {read.text!r}; give <start>, <end> or <padding>")


def save_maps(maps: Sequence[HeatMap], files: Sequence[Path], *, same_scale: bool, numbers: bool) -> None:
    """Write each map over its picture, or its numbers where the file is an .npy.

    Args:
        maps: The maps.
        files: A file for each, a picture or .npy.
        same_scale: Give all maps the colours of the largest value among them.
        numbers: Also write each map's numbers, beside its picture, as .npy.
    """
    from attnscope.pictures.writing import write_picture

    top = max((float(heat.array.max()) for heat in maps), default=0.0) if same_scale else None
    for heat, file in zip(maps, files, strict=True):
        if file.suffix.lower() != ".npy":
            write_picture(heat.overlay(maximum=top), file)
            say_wrote(file)
        if numbers or file.suffix.lower() == ".npy":
            say_wrote(heat.save(file.with_suffix(".npy"), overwrite=True))


def map_object(heat: HeatMap, span: TokenSpan, file: Path) -> dict[str, Any]:
    """A heat map as a JSON object. Shares are 0..1, and the peak is on the latent grid.

    Args:
        heat: The map.
        span: The word.
        file: Where its picture is.
    """
    return {
        "word": span.word,
        "tokens": list(span.tokens),
        "mean": float(heat.array.mean()),
        "maximum": float(heat.array.max()),
        "peak": list(heat.peak),
        "grid": list(heat.array.shape),
        "file": str(file),
    }

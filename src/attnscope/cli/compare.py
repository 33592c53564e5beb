"""`attnscope compare`: several ways to segment, side by side on one picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attnscope.cli.loading import load_unless_traces, open_pass
from attnscope.cli.options import Config, Device, Dtype, Force, Json, Model, Pass, parse_words
from attnscope.cli.output import print_json, refuse_overwriting, say_wrote, working
from attnscope.cli.tables import PlainTable
from attnscope.cli.targets import refuse_inside_a_trace
from attnscope.cli.terminal import data_console
from attnscope.files import is_folder

if TYPE_CHECKING:
    from attnscope.evaluation.comparing import Comparison

EXAMPLES = """Examples (after `attnscope demo`, which makes the picture):

  attnscope compare attnscope-demo/scene.png

  attnscope compare attnscope-demo/scene.png --methods diffseg,ncut,words --labels house,sky -o three.png --json"""


def compare_command(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A picture, or the folder of a trace.")],
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--methods",
            "--method",
            help="Some of diffseg,auto,ncut,diffcut,words; by default all but diffcut.",
        ),
    ] = None,
    model: Model = "demo",
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="SHEET.png", help="File to write.")
    ] = Path("compare.png"),
    labels: Annotated[
        list[str] | None, typer.Option("--labels", "--label", "-l", help="Words to name segments with.")
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            "--truth", metavar="MASK.png", help="True segments as numbers, for scores; 255: not judged."
        ),
    ] = None,
    fit: Annotated[bool, typer.Option("--fit", help="Draw segments to the picture's own edges.")] = False,
    of_pass: Pass = None,
    config: Config = None,
    device: Device = None,
    dtype: Dtype = None,
    as_json: Json = False,
    force: Force = False,
) -> None:
    """Draw what several methods find in one picture, side by side, with counts, times and scores.

    They share one pass of the model. "auto" is DiffSeg with a threshold found from the picture's own attention.
    """
    refuse_inside_a_trace(output)
    refuse_overwriting(output, force=force)
    with working("reading"):
        from attnscope.evaluation.comparing import compare
        from attnscope.evaluation.datasets import mask_numbers

        true_numbers = None if truth is None else mask_numbers(truth)
    pipe = load_unless_traces(model, [image], config=config, device=device, dtype=dtype)
    with working("segmenting"):
        source = open_pass(image, of_pass) if is_folder(image) else image
        asked = parse_words(methods)
        comparison = compare(
            source, pipe, methods=asked or None, truth=true_numbers, labels=parse_words(labels), fit=fit
        )
    say_wrote(comparison.save(output, overwrite=force))
    if as_json:
        print_json({**comparison.to_dict(), "file": str(output)})
    else:
        _print(image, comparison)


def _print(image: Path, comparison: Comparison) -> None:
    rows = []
    for compared in comparison.methods:
        row = [compared.method, str(len(compared.segmentation)), f"{compared.seconds:.2f}"]
        if compared.scores:
            row += [f"{compared.scores.miou:.3f}", f"{compared.scores.boundary_f:.3f}"]
        rows.append(tuple(row))
    columns = ("Method", "Segments", "Seconds", "mIoU", "Boundary F")[: len(rows[0])]
    title = f"{image}: attention {comparison.pass_seconds:.1f} s"
    data_console().print(PlainTable(title, columns, rows))

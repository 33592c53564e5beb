"""`attnscope report`: a trace as one page to read, mail and print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from attnscope.cli.loading import open_pass
from attnscope.cli.options import Force, Json, Pass, parse_numbers
from attnscope.cli.output import counted, print_json, progress, refuse_overwriting, say_wrote, working
from attnscope.cli.targets import refuse_inside_a_trace
from attnscope.errors import ParameterError

EXAMPLES = """Examples (after `attnscope generate "a red house on grass"`):

  attnscope report output/run.trace

  attnscope report output/run.trace -o house.html --steps 0,5-9 --json"""


def report_command(
    trace: Annotated[Path, typer.Argument(help="Folder of a trace, such as output/run.trace.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="PAGE.html", help="File to write.")
    ] = Path("report.html"),
    steps: Annotated[
        str | None,
        typer.Option(
            "--steps",
            help="Steps for the statistics, as in 0,5-9; by default as many as take about half a minute.",
        ),
    ] = None,
    branch: Annotated[
        str, typer.Option("--branch", help="Guidance branch: cond, or uncond for the negative prompt.")
    ] = "cond",
    image: Annotated[int, typer.Option("--image", help="Which image of the batch, from 0.")] = 0,
    of_pass: Pass = None,
    as_json: Json = False,
    force: Force = False,
) -> None:
    """Write one self-contained page about a trace: words, segments and statistics of attention.

    The picture and its settings, each word's map with what became of the word, segments, and how widely and how far
    attention looks by block, head and step. What the trace does not hold is said on the page.
    """
    if output.suffix.lower() not in (".html", ".htm"):
        raise ParameterError(f"-o {output}: a report is a page; expected a name that ends in .html")
    chosen = parse_numbers("--steps", steps)
    refuse_inside_a_trace(output)
    refuse_overwriting(output, force=force)
    with working(f"reading {trace}"):
        from attnscope.reporting.report import report

        opened = open_pass(trace, of_pass)
    with progress("attention") as bars:
        made = report(
            opened,
            output,
            steps=chosen,
            branch=branch,
            image=image,
            overwrite=force,
            progress=counted(bars, "attention"),
        )
    say_wrote(output)
    if as_json:
        print_json({**made.to_dict(), "file": str(output)})

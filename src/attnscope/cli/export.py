"""`attnscope export`: a trace as one page that opens from disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from attnscope.cli.loading import open_pass
from attnscope.cli.options import Force, Pass
from attnscope.cli.output import counted, progress, refuse_overwriting, say, working
from attnscope.cli.targets import refuse_inside_a_trace
from attnscope.errors import ParameterError

EXAMPLES = """Example (after `attnscope demo`):

  attnscope export attnscope-demo/run.trace page.html"""


def export_command(
    trace: Annotated[Path, typer.Argument(help="Folder of a trace, such as attnscope-demo/run.trace.")],
    page: Annotated[Path, typer.Argument(metavar="PAGE.html", help="File to write.")],
    step: Annotated[
        int | None, typer.Option("--step", help="Show one step; by default the mean over all steps.")
    ] = None,
    branch: Annotated[str, typer.Option("--branch", help="Guidance branch: cond or uncond.")] = "cond",
    image: Annotated[int, typer.Option("--image", help="Which image of the batch, from 0.")] = 0,
    single_steps: Annotated[
        int,
        typer.Option(
            "--single-steps",
            min=0,
            help="Also include single steps, at most N, evenly chosen from a longer run.",
        ),
    ] = 20,
    of_pass: Pass = None,
    force: Force = False,
) -> None:
    """Write one self-contained page with the picture, its words, segments, and where every place looks."""
    if page.suffix.lower() not in (".html", ".htm"):
        raise ParameterError(f"{page}: expected a name that ends in .html")
    refuse_inside_a_trace(page)
    refuse_overwriting(page, force=force)
    with working(f"reading {trace}"):
        from attnscope.viewer.export import export_page

        opened = open_pass(trace, of_pass)
    with progress("attention") as bars:
        export_page(
            trace if of_pass is None else opened,
            page,
            step=step,
            branch=branch,
            image=image,
            single_steps=single_steps,
            overwrite=force,
            progress=counted(bars, "attention"),
        )
    say(f"wrote {page} ({page.stat().st_size / 1e6:.1f} MB)")

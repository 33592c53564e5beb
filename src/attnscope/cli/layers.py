"""`attnscope layers`: the table of a model's attention layers, and its drawing."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attnscope.atlas import layers
from attnscope.atlas.diagram import unet_diagram
from attnscope.cli.layer_tables import (
    csv_table,
    layer_object,
    markdown_tables,
    policy_markdown,
    policy_table,
    rich_tables,
)
from attnscope.cli.options import Force, Json, Size, parse_size
from attnscope.cli.output import print_data, print_json, refuse_overwriting, say_wrote, working
from attnscope.cli.targets import refuse_inside_a_trace
from attnscope.cli.terminal import data_console
from attnscope.errors import ModelError, ParameterError
from attnscope.files import whole_file
from attnscope.records import Kind

if TYPE_CHECKING:
    from attnscope.recording.estimate import Policy

EXAMPLES = """Examples:

  attnscope layers demo

  attnscope layers sd2 --size 768x512 --kind self

  attnscope layers sd1 --steps 50

  attnscope layers sd1 --diagram unet.svg"""


def layers_command(
    model: Annotated[
        str,
        typer.Argument(
            help="sd1, sd2-base, sd2, demo, a known hub id, a model folder or a U-Net's config.json."
        ),
    ] = "demo",
    named: Annotated[str | None, typer.Option("--model", "-m", help="The same as the argument.")] = None,
    size: Size = None,
    batch: Annotated[int, typer.Option("--batch", help="Pictures made at once.")] = 1,
    guidance: Annotated[
        bool, typer.Option("--guidance/--no-guidance", help="Guidance doubles the leading axis.")
    ] = True,
    tokens: Annotated[
        int | None, typer.Option("--tokens", help="Text tokens; the model's own by default.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", help="Also print what a run of so many steps takes.")
    ] = None,
    kind: Annotated[Kind | None, typer.Option("--kind", help="Only self- or only cross-attention.")] = None,
    as_json: Json = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown tables.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, one row a layer.")] = False,
    diagram: Annotated[
        Path | None, typer.Option("--diagram", metavar="FILE.svg", help="Draw the U-Net instead of printing.")
    ] = None,
    force: Force = False,
) -> None:
    """Print which attention layers a model has, with the shapes of Q, K, V and the probability.

    Worked out from the model's configuration: nothing is downloaded and no weights are loaded. With --steps, --json
    prints an object with the lists "layers" and "policies".
    """
    if as_json + as_markdown + as_csv > 1:
        raise ParameterError("--json, --markdown and --csv exclude one another: choose one")
    if diagram is not None and diagram.suffix.lower() != ".svg":
        svg = diagram.with_suffix(".svg") if diagram.name else diagram / "unet.svg"
        raise ParameterError(
            f"--diagram {diagram}: the drawing is an SVG file, which browsers show and turn into PNG or PDF; "
            f"expected a name that ends in .svg, such as {svg}"
        )
    if diagram is not None:
        refuse_inside_a_trace(diagram)
        refuse_overwriting(diagram, force=force)
    model = named or model
    size_hw = parse_size(size)
    every_layer = layers(model, size=size_hw, batch=batch, guidance=guidance, tokens=tokens)
    chosen = [layer for layer in every_layer if kind is None or layer.kind == kind]
    if not chosen:
        raise ModelError(
            f"the U-Net of {model} has no attention layers{' of this kind' if every_layer else ''}"
        )
    if diagram is not None:
        drawing = unet_diagram(model, size=size_hw)
        with whole_file(diagram) as partial:
            partial.write_text(drawing, encoding="utf-8")
        say_wrote(diagram)
    policies = _policies(model, steps, size=size_hw, batch=batch, guidance=guidance, tokens=tokens)
    if as_json:
        objects = [layer_object(layer) for layer in chosen]
        print_json({"layers": objects, "policies": list(map(asdict, policies))} if steps else objects)
    elif as_markdown:
        print_data(markdown_tables(chosen) + (f"\n{policy_markdown(policies, steps)}" if steps else ""))
    elif as_csv:
        print_data(csv_table(chosen))
    elif diagram is None:
        console = data_console()
        for part in rich_tables(chosen):
            console.print(part)
        if steps:
            console.print()
            console.print(policy_table(policies, steps))


def _policies(model: str, steps: int | None, **run: Any) -> tuple[Policy, ...]:
    if steps is None:
        return ()
    with working("working out what a run takes"):
        from attnscope.recording.estimate import estimate

        return estimate(model, steps=steps, **run)

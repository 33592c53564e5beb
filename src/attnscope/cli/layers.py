"""`attnscope layers`: the table of a model's attention layers, and its drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attnscope.atlas import NAMES, calls_a_step, layers
from attnscope.atlas.diagram import diagram as drawn
from attnscope.atlas.source import ModelFacts, model_facts
from attnscope.cli.layer_tables import (
    csv_table,
    layer_object,
    markdown_tables,
    policy_markdown,
    policy_table,
    rich_tables,
)
from attnscope.cli.options import Force, Json, Size, parse_size
from attnscope.cli.output import print_data, print_json, refuse_overwriting, save_picture, say_wrote, working
from attnscope.cli.targets import refuse_inside_a_trace
from attnscope.cli.terminal import data_console
from attnscope.errors import ModelError, ParameterError
from attnscope.files import whole_file
from attnscope.records import Kind, Layer
from attnscope.records.relations import as_kind

if TYPE_CHECKING:
    from attnscope.recording.planning.estimate import Policy

EXAMPLES = """Examples:

  attnscope layers demo

  attnscope layers sd2 --size 768x512 --kind self

  attnscope layers sd1 --steps 50

  attnscope layers flux

  attnscope layers sd1 --diagram unet.svg"""


def layers_command(
    model: Annotated[
        str,
        typer.Argument(
            help=f"{', '.join(NAMES)}; a hub id that is known or in the local cache; a model folder or config.json."
        ),
    ] = "demo",
    named: Annotated[str | None, typer.Option("--model", "-m", help="The same as the argument.")] = None,
    size: Size = None,
    batch: Annotated[int, typer.Option("--batch", help="Pictures made at once.")] = 1,
    guidance: Annotated[
        bool | None,
        typer.Option(
            "--guidance/--no-guidance",
            help="With guidance the batch, or the calls of a step, double; by default as in the model's pipeline.",
        ),
    ] = None,
    tokens: Annotated[
        int | None,
        typer.Option("--tokens", help="Text tokens of all encoders; by default the model's own number."),
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option(
            "--frames", help="For a video: frames of its latent; by default as many as its pipeline makes."
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", help="Also print how much memory a capture of this many steps takes."),
    ] = None,
    kind: Annotated[
        Kind | None,
        typer.Option("--kind", help="Only self- or cross-attention; of joint attention, that part."),
    ] = None,
    every_block: Annotated[
        bool,
        typer.Option("--shapes", help="One row for each block; otherwise equal blocks of a list share one."),
    ] = False,
    as_json: Json = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown tables.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, one row per layer.")] = False,
    diagram: Annotated[
        Path | None,
        typer.Option("--diagram", metavar="FILE", help="Draw the model instead, as .svg or .png."),
    ] = None,
    force: Force = False,
) -> None:
    """Print which attention layers a model has, with the shapes of Q, K, V and the probability.

    Worked out from the model's configuration: nothing is downloaded and no weights are loaded. With --steps, --json
    prints an object with the lists "layers" and "policies".
    """
    if as_json + as_markdown + as_csv > 1:
        raise ParameterError("--json, --markdown and --csv exclude one another: choose one")
    if diagram is not None and diagram.suffix.lower() not in (".svg", ".png"):
        svg = diagram.with_suffix(".svg") if diagram.name else diagram / "model.svg"
        raise ParameterError(
            f"--diagram {diagram}: a drawing is an SVG or a PNG file; expected a name that ends in .svg or .png, such "
            f"as {svg}"
        )
    if diagram is not None:
        refuse_inside_a_trace(diagram)
        refuse_overwriting(diagram, force=force)
    model = named or model
    size_hw = parse_size(size)
    run: dict[str, Any] = {"size": size_hw, "tokens": tokens, "frames": frames}
    rows: dict[str, Any] = {"batch": batch, "guidance": guidance}
    facts, every_layer = model_facts(model), layers(model, **run, **rows)
    chosen = [part for layer in every_layer if (part := layer if kind is None else as_kind(layer, kind))]
    if not chosen:
        there = ", ".join(dict.fromkeys(layer.kind for layer in every_layer))
        raise ModelError(
            f"{model} ({facts.family.name}) has no attention layers"
            + (f" of kind {kind!r}, only of {there}" if every_layer else "")
        )
    if diagram is not None:
        _draw(drawn(model, **run), diagram)
    policies = _policies(model, steps, **run, **rows)
    whole = {layer.id: layer for layer in every_layer}
    how: dict[str, Any] = {
        "whole": whole, "every_block": every_block, "calls": calls_a_step(model, guidance=guidance),
    }  # fmt: skip
    if as_json:
        objects = [layer_object(layer, whole=whole) for layer in chosen]
        print_json({"layers": objects, "policies": list(map(asdict, policies))} if steps else objects)
    elif as_markdown:
        print_data(
            markdown_tables(chosen, **how) + (f"\n{policy_markdown(policies, steps)}" if steps else "")
        )
    elif as_csv:
        print_data(csv_table(chosen, whole=whole))
    elif diagram is None:
        console = data_console()
        console.print(_headline(model, facts, size_hw, every_layer))
        for table in rich_tables(chosen, **how):
            console.print(table)
        if steps:
            console.print()
            console.print(policy_table(policies, steps))


def _draw(svg: str, file: Path) -> None:
    if file.suffix.lower() == ".png":
        from attnscope.cli.svg_picture import svg_picture

        save_picture(svg_picture(svg), file)
        return
    with whole_file(file) as partial:
        partial.write_text(svg, encoding="utf-8")
    say_wrote(file)


def _headline(
    model: str, facts: ModelFacts, size: tuple[int, int] | None, every_layer: Sequence[Layer]
) -> str:
    """What model it is, and for which picture the shapes are."""
    (height, width), latent = size or facts.native_size, facts.latent(size)
    native = " (its native size)" if size is None else ""
    blocks = len({layer.block for layer in every_layer})
    frames = max(layer.frames for layer in every_layer)
    left_out = getattr(facts.family, "left_out", {})
    return (
        f"{model}: {facts.family.name}, {blocks} blocks with {len(every_layer)} attention layers\n"
        f"{height}x{width} pixels{native}, latent {latent} (height x width)"
        + (f", {frames} frames of it\n" if frames > 1 else "\n")
        + "".join(f"Not recorded: {name}, {why}\n" for name, why in left_out.items())
    )


def _policies(model: str, steps: int | None, **run: Any) -> tuple[Policy, ...]:
    if steps is None:
        return ()
    with working("working out what a run takes"):
        from attnscope.recording.planning.estimate import estimate

        return estimate(model, steps=steps, **run)

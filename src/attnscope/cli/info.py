"""`attnscope info`: what is inside a trace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attnscope.cli.layer_tables import layer_object, readable_bytes
from attnscope.cli.options import Json
from attnscope.cli.output import counted, print_json, progress, say, working
from attnscope.cli.tables import PlainTable
from attnscope.cli.terminal import data_console

if TYPE_CHECKING:
    from attnscope.records.reduced import ReducedMaps
    from attnscope.trace.trace import Trace

EXAMPLES = """Example (after `attnscope generate "a red house on grass"`):

  attnscope info output/run.trace"""


def info_command(
    trace: Annotated[Path, typer.Argument(help="Folder of a trace, such as output/run.trace.")],
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Read the whole trace and check every checksum; exit code 1 if something is damaged.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Print what a trace holds: the run, its words with their tokens, its layers and steps."""
    with working(f"reading {trace}"):
        from attnscope.trace.files import load_trace, trace_folder

        folder = trace_folder(trace)
        opened = load_trace(folder)
    if verify:
        _verify(folder)
    if as_json:
        passes = [_as_json(pass_trace) for pass_trace in opened.passes]
        shown = passes[0] if len(passes) == 1 else {"passes": passes}
        checked = {"verified": True} if verify else {}
        print_json({"folder": str(folder), "bytes": _bytes_on_disk(opened), **checked, **shown})
        return
    on_disk = _bytes_on_disk(opened)
    for number, pass_trace in enumerate(opened.passes):
        name = f"{folder}, pass {number}" if len(opened.passes) > 1 else str(folder)
        _print_pass(pass_trace, name, on_disk)


def _as_json(trace: Trace) -> dict[str, Any]:
    return {**trace.facts(), "layers": [layer_object(layer) for layer in trace.layers]}


def _verify(folder: Path) -> None:
    from attnscope.storage.folder import TraceFolder

    with progress("checking") as bars:
        for number, records in enumerate(TraceFolder.open(folder).passes):
            tell = counted(bars, f"checking pass {number}" if number else "checking")
            for done, total in records.verified():
                tell(done, total)
    say("all checksums match")


def _print_pass(trace: Trace, name: str, on_disk: int) -> None:
    console = data_console()
    console.print(PlainTable(name, ("", ""), _facts(trace, on_disk)))
    for image in range(trace.images):
        for branch, whose in (("cond", ""), ("uncond", " of the negative prompt")):
            rows = [(span.word, ", ".join(map(str, span.tokens))) for span in trace.words(image, branch)]
            title = f"Words{whose} and their tokens" + (f", image {image}" if trace.images > 1 else "")
            if rows or branch == "cond":
                console.print(PlainTable(title, ("Word", "Tokens"), rows))
    console.print(
        PlainTable("Layers", ("Grid", "Blocks", "Kinds", "Heads", "Query", "Key"), _layer_rows(trace))
    )


def _facts(trace: Trace, on_disk: int) -> Iterator[tuple[str, str]]:
    run = trace.run
    planned = f" of {run.planned_steps}" if run.planned_steps else ""
    times = [f"{step.timestep:g}" for step in trace.steps]
    size = "x".join(map(str, run.image_size_hw)) if run.image_size_hw else None
    facts = {
        "Model": run.model,
        "Family": run.family,
        "Pipeline": run.pipeline,
        "Scheduler": run.scheduler,
        "Prompt": " | ".join(run.prompts),
        "Negative prompt": " | ".join(filter(None, run.negative_prompts)),
        "Edits": ", ".join(run.edits),
        "Tokens": f"only numbers, because {run.unnamed}" if run.unnamed else None,
        "Seed": run.seed,
        "Guidance scale": run.guidance_scale,
        "Image size (height x width)": size,
        "Images": trace.images,
        "Branches": ", ".join(trace.branches),
        "Steps": f"{len(trace.steps)}{planned}"
        + (f" (timesteps {times[0]} to {times[-1]})" if times else ""),
        "Reduced maps": "; ".join(f"{name}: {_reduced(maps)}" for name, maps in trace.reduced.items()),
        "Open words": _open_words(trace),
        "Outputs": ", ".join(f"{path} ({kind})" for path, kind in trace.records.outputs.items()),
        "Previews": f"of {len(trace.previews)} steps" if trace.previews else None,
        "On disk": readable_bytes(on_disk),
        "Versions": ", ".join(f"{name} {version}" for name, version in run.versions.items()),
    }
    yield from ((name, str(value)) for name, value in facts.items() if value not in (None, ""))


def _open_words(trace: Trace) -> str | None:
    projections = trace.records.projections
    if not projections:
        return None
    from attnscope.storage.projections import bytes_of_projections

    return (
        f"keys of any text in {len(projections)} layers ({readable_bytes(bytes_of_projections(projections))})"
    )


def _reduced(maps: ReducedMaps) -> str:
    reduction = maps.reduction
    return f"{reduction.how} of {reduction.kind}-attention over {len(maps.steps)} steps, per {reduction.per}"


def _layer_rows(trace: Trace) -> Iterator[tuple[str, ...]]:
    """One row for all layers of a grid and head count, since blocks of a scale are alike."""
    groups: dict[tuple[Any, ...], list[Any]] = {}
    for layer in trace.layers:
        key = (layer.grid, layer.kind, layer.heads, layer.query, layer.key)
        groups.setdefault(key, []).append(layer.block)
    for (grid, kind, heads, query, keys), blocks in groups.items():
        yield str(grid), ", ".join(map(str, blocks)), kind, str(heads), str(query), str(keys)


def _bytes_on_disk(trace: Trace) -> int:
    from attnscope.trace.files import files_of

    return sum(path.stat().st_size for path in files_of(trace))

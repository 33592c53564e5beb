"""`attnscope evaluate`: how good segments are on a data set with masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from attnscope.cli.engines import Address, Engine, Gpus, Workers, engine_named
from attnscope.cli.loading import quietly
from attnscope.cli.methods import Method, Threshold, thresholds_of
from attnscope.cli.options import Config, Device, Dtype, Force, Json, Model, parse_words
from attnscope.cli.output import counted, print_json, progress, refuse_overwriting, say_error, say_wrote
from attnscope.cli.tables import PlainTable
from attnscope.cli.targets import expect_folder
from attnscope.cli.terminal import data_console

if TYPE_CHECKING:
    from rich.progress import Progress

    from attnscope.evaluation.result import Evaluation

EXAMPLES = """Examples (the first one needs no data set):

  attnscope evaluate scenes:20 -o scores

  attnscope evaluate scenes:20 -o scores --search thresholds=0.3:0.8:0.1 --force

  attnscope evaluate voc2012 VOCdevkit -m stable-diffusion-v1-5/stable-diffusion-v1-5 --preparation diffseg -o voc"""

Protocol = Literal["per-image", "dataset", "both", "named"]
Preparation = Literal["own", "diffseg", "diffcut"]


def evaluate_command(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET", help="coco-stuff-27, cityscapes, voc2012, ade20k, folder, or scenes:200."
        ),
    ],
    folder: Annotated[
        Path | None, typer.Argument(metavar="FOLDER", help="Folder of the data set; scenes need none.")
    ] = None,
    model: Model = "demo",
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the report and its evidence go.")
    ] = Path("evaluation"),
    protocol: Annotated[
        Protocol,
        typer.Option(
            "--protocol",
            metavar="PROTOCOL",
            help="How segments get their classes: per-image, dataset, both or named.",
        ),
    ] = "both",
    preparation: Annotated[
        Preparation,
        typer.Option(
            "--preparation",
            metavar="KIND",
            help="How pictures are prepared, and at what size segments are compared: own, diffseg or diffcut.",
        ),
    ] = "own",
    method: Method = "diffseg",
    threshold: Threshold = None,
    fit: Annotated[bool, typer.Option("--fit", help="As in attnscope segment.")] = False,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            "--labels", "--label", "-l", help="Words to name segments with; `classes`: those of the data set."
        ),
    ] = None,
    preset: Annotated[str | None, typer.Option("--preset", help="As in attnscope segment.")] = None,
    search: Annotated[
        str | None,
        typer.Option("--search", metavar="RANGE", help="More thresholds to try: thresholds=FIRST:LAST:STEP."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the attention, for a later --search.")] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", help="Only the first N pictures.")
    ] = None,
    config: Config = None,
    device: Device = None,
    dtype: Dtype = None,
    as_json: Json = False,
    force: Force = False,
    engine: Engine = "loop",
    address: Address = None,
    workers: Workers = None,
    gpus: Gpus = None,
) -> None:
    """Score a model's segments on pictures with masks: report.json, report.md and report.html.

    The data set's files are checked before the first pass. Each picture's counts are kept in the output folder,
    so a second start does only what is missing; it needs --force once there is a report.
    """
    with quietly("reading the data set"):
        from attnscope.evaluation.evaluating import evaluate, search_values
        from attnscope.reporting.evaluation import NAMES, save_evaluation

    expect_folder(output, "report.json, report.md and report.html")
    refuse_overwriting(*(output / name for name in NAMES), force=force)
    asked = {
        "method": method,
        "thresholds": thresholds_of(threshold),
        "fit": fit or None,
        "labels": parse_words(labels),
        "preset": preset,
    }
    settings: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    loading = {"config": None if config is None else str(config), "device": device, "dtype": dtype}
    with progress("pictures") as bars:
        evaluation = evaluate(
            dataset,
            folder,
            output=output,
            model=model,
            protocol=protocol,
            preparation=preparation,
            limit=limit,
            search=search_values(search) if search else (),
            keep=keep,
            loading={name: value for name, value in loading.items() if value is not None},
            engine=engine_named(engine, address, workers, gpus),
            progress=_bars(bars),
            **settings,
        )
    for path in save_evaluation(evaluation, output, overwrite=force):
        say_wrote(path)
    for name, message in evaluation.failed:
        say_error(f"{name}: {message}")
    if as_json:
        print_json({**evaluation.to_dict(), "files": [str(output / name) for name in NAMES]})
    else:
        _print(evaluation)
    if evaluation.failed:
        say_error(f"{len(evaluation.failed)} of {len(evaluation.dataset)} pictures failed, see above")
        raise typer.Exit(1)


def _bars(bars: Progress) -> Callable[[str, int, int], None]:
    """A bar for each kind of work, made when it begins."""
    tasks: dict[str, Callable[[int, int], None]] = {}

    def tell(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = counted(bars, what)
        tasks[what](done, total)

    return tell


def _print(evaluation: Evaluation) -> None:
    from attnscope.evaluation.markdown import SCORES, TRIED, score_rows, tried_rows

    title = f"{evaluation.dataset.title}: {evaluation.model}, {evaluation.pictures} pictures, in per cent"
    data_console().print(PlainTable(title, SCORES, score_rows(evaluation)))
    if evaluation.tried:
        data_console().print(PlainTable("Thresholds on the same attention", TRIED, tried_rows(evaluation)))

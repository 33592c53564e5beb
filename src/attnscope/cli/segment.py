"""`attnscope segment`: the segments of photos, or of the picture in a trace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from attnscope.cli.clicks import segment_by_clicks
from attnscope.cli.engines import MANY, Address, Engine, Gpus, Workers, engine_named
from attnscope.cli.methods import Method, Threshold, thresholds_of
from attnscope.cli.options import Config, Device, Dtype, Force, Json, Model, Pass, parse_words
from attnscope.cli.segment_each import Asked, segment_each
from attnscope.cli.segment_folder import names_many, segment_folder
from attnscope.cli.targets import expect_folder, refuse_inside_a_trace
from attnscope.errors import ParameterError

if TYPE_CHECKING:
    from attnscope.segmentation.folder_job import SegmentJob

EXAMPLES = """Examples (after `attnscope demo`, which makes the picture):

  attnscope segment attnscope-demo/scene.png -o segments

  attnscope segment attnscope-demo/scene.png --labels house,grass,sky --threshold auto --json -o automatic

  attnscope segment attnscope-demo/scene.png --method ncut -o cuts

  attnscope segment attnscope-demo/scene.png --click 128,160 --minus 20,20 -o clicked"""

Preset = Literal["paper", "reference"]


def segment_command(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE", help="Pictures or traces; or a FOLDER, a pattern, a LIST.txt, s3://..."
        ),
    ],
    model: Model = "demo",
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FOLDER", help="Where NAME.labels.png and the rest go.")
    ] = ".",
    labels: Annotated[
        list[str] | None,
        typer.Option("--labels", "--label", "-l", help="Words to name segments with: house,grass"),
    ] = None,
    method: Method = "diffseg",
    threshold: Threshold = None,
    preset: Annotated[
        Preset, typer.Option("--preset", help="reference: as in the authors' program.")
    ] = "paper",
    refine: Annotated[bool, typer.Option("--refine", help="k-means after merging.")] = False,
    fit: Annotated[bool, typer.Option("--fit", help="Draw segments to the picture's own edges.")] = False,
    edges: Annotated[bool, typer.Option("--edges", help="Also write NAME.edges.png.")] = False,
    crop: Annotated[
        bool, typer.Option("--crop", help="Crop to the middle square, as the paper does.")
    ] = False,
    timestep: Annotated[
        int | None,
        typer.Option("--timestep", help="0..999; by default 300, as in the paper, or 50 for diffcut."),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(
            "--features", metavar="MODULE", help="Module whose output diffcut uses, if not the usual one."
        ),
    ] = None,
    noise_seed: Annotated[
        int | None, typer.Option("--noise-seed", help="Add the timestep's noise, from this seed.")
    ] = None,
    click: Annotated[
        list[str] | None,
        typer.Option(
            "--click",
            metavar="X,Y",
            help="A point on a thing: write only its mask.",
            rich_help_panel="Clicks",
        ),
    ] = None,
    minus: Annotated[
        list[str] | None,
        typer.Option(
            "--minus", metavar="X,Y", help="A point that is not on the thing.", rich_help_panel="Clicks"
        ),
    ] = None,
    of_pass: Pass = None,
    config: Config = None,
    device: Device = None,
    dtype: Dtype = None,
    as_json: Json = False,
    force: Force = False,
    overlays: Annotated[bool, typer.Option(help="Also write NAME.overlay.png.", rich_help_panel=MANY)] = True,
    engine: Engine = "loop",
    address: Address = None,
    workers: Workers = None,
    gpus: Gpus = None,
) -> None:
    """Find the segments of each picture: NAME.labels.png, NAME.overlay.png and NAME.json.

    A picture that fails is reported and the others are still segmented; the exit code is then 1.
    """
    if click or minus:
        own = {"labels": labels, "threshold": threshold, "preset": preset != "paper", "refine": refine}
        own |= {"crop": crop, "noise-seed": noise_seed is not None, "method": method != "diffseg"}
        own |= {
            "features": features is not None,
            "fit": fit,
            "edges": edges,
            "engine": engine != "loop",
            "no-overlays": not overlays,
        }
        with_model = {"model": model, "config": config, "device": device, "dtype": dtype}
        choice: dict[str, Any] = {
            "timestep": timestep,
            "of_pass": of_pass,
            "as_json": as_json,
            "force": force,
        }
        places, folder = [Path(image) for image in images], Path(output)
        segment_by_clicks(places, click or (), minus or (), folder, with_model, not_for_clicks=own, **choice)
        return
    settings: dict[str, Any] = {
        "labels": parse_words(labels),
        "method": method,
        "preset": preset,
        "refine": refine,
        "fit": fit,
        "thresholds": thresholds_of(threshold),
        **({} if features is None else {"features": features}),
    }
    for_photos = {"crop": crop or None, "timestep": timestep, "noise_seed": noise_seed}
    for_photos = {name: value for name, value in for_photos.items() if value is not None}
    loading = {"config": config, "device": device, "dtype": dtype}
    if names_many(images):
        job = _job(
            output, model, settings | for_photos, loading, overlays=overlays, edges=edges, overwrite=force
        )
        segment_folder(images, job, engine_named(engine, address, workers, gpus), as_json=as_json)
        return
    if (engine, address, workers, gpus, overlays) != ("loop", None, None, None, True):
        raise ParameterError(
            "--engine, its options and --no-overlays are for folders, patterns and lists of pictures"
        )
    asked = Asked(model, loading, settings, for_photos, of_pass, edges, force)
    segment_each([Path(image) for image in images], Path(output), asked, as_json=as_json)


def _job(
    output: str, model: str, settings: dict[str, Any], loading: dict[str, Any], **choices: bool
) -> SegmentJob:
    """What is done to each of many pictures."""
    from attnscope.jobs.places import is_remote
    from attnscope.segmentation.folder_job import SegmentJob

    if not is_remote(output):
        expect_folder(Path(output), "many files")
        refuse_inside_a_trace(Path(output))
    given = {name: str(value) for name, value in loading.items() if value is not None}
    asked = {name: value for name, value in settings.items() if value not in (None, False)}
    return SegmentJob(output, model, asked, given, **choices)

"""`attnscope segment`: the segments of photos, or of the picture in a trace."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from attnscope.cli.clicks import segment_by_clicks
from attnscope.cli.loading import load, open_pass
from attnscope.cli.options import Config, Device, Dtype, Force, Json, Model, Pass, parse_words
from attnscope.cli.output import (
    print_json,
    progress,
    refuse_overwriting,
    say_error,
    say_wrote,
)
from attnscope.cli.tables import PlainTable
from attnscope.cli.targets import expect_folder, refuse_inside_a_trace
from attnscope.cli.terminal import data_console
from attnscope.errors import AttnscopeError, ParameterError
from attnscope.files import is_folder
from attnscope.files.names import distinct_names

EXAMPLES = """Examples (after `attnscope demo`, which makes the picture):

  attnscope segment attnscope-demo/scene.png -o segments

  attnscope segment attnscope-demo/scene.png --labels house,grass,sky --threshold 0.6 --json

  attnscope segment attnscope-demo/scene.png --click 128,160 --minus 20,20 -o segments"""

_ENDINGS = (".labels.png", ".overlay.png", ".json")


Preset = Literal["paper", "reference"]


def segment_command(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE", help="Pictures, or folders of traces.")],
    model: Model = "demo",
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where NAME.labels.png and the rest go.")
    ] = Path(),
    labels: Annotated[
        list[str] | None,
        typer.Option("--labels", "--label", "-l", help="Words to name segments with: house,grass"),
    ] = None,
    threshold: Annotated[
        list[float] | None,
        typer.Option(
            "--threshold",
            "--thresholds",
            "-t",
            help="In nats; larger gives fewer segments. Repeat it: one per pass.",
        ),
    ] = None,
    preset: Annotated[Preset, typer.Option("--preset", help="reference: the authors' program.")] = "paper",
    refine: Annotated[bool, typer.Option("--refine", help="k-means after merging.")] = False,
    crop: Annotated[bool, typer.Option("--crop", help="The paper's square crop.")] = False,
    timestep: Annotated[int | None, typer.Option("--timestep", help="0..999; 300 as in the paper.")] = None,
    noise_seed: Annotated[int | None, typer.Option("--noise-seed", help="Add the timestep's noise.")] = None,
    click: Annotated[
        list[str] | None, typer.Option("--click", metavar="X,Y", help="A point on a thing: only its mask.")
    ] = None,
    minus: Annotated[
        list[str] | None, typer.Option("--minus", metavar="X,Y", help="With --click: a point beside it.")
    ] = None,
    of_pass: Pass = None,
    config: Config = None,
    device: Device = None,
    dtype: Dtype = None,
    as_json: Json = False,
    force: Force = False,
) -> None:
    """Find the segments of each picture: NAME.labels.png, NAME.overlay.png and NAME.json.

    A picture that fails is reported, the others are still done; then the exit code is 1.
    """
    if click or minus:
        own = {"labels": labels, "threshold": threshold, "preset": preset != "paper", "refine": refine}
        own |= {"crop": crop, "noise-seed": noise_seed is not None}
        with_model = {"model": model, "config": config, "device": device, "dtype": dtype}
        asked: dict[str, Any] = {"timestep": timestep, "of_pass": of_pass, "as_json": as_json, "force": force}
        segment_by_clicks(images, click or (), minus or (), output, with_model, not_for_clicks=own, **asked)
        return
    expect_folder(output, "NAME.labels.png, NAME.overlay.png and NAME.json")
    names = _names(images)
    files = [output / (name + ending) for name in names for ending in _ENDINGS]
    _spare_inputs(images, files)
    refuse_inside_a_trace(output)
    refuse_overwriting(*files, force=force)
    settings: dict[str, Any] = {
        "labels": parse_words(labels),
        "preset": preset,
        "refine": refine,
        "thresholds": _thresholds(threshold),
    }
    for_photos = {"crop": crop or None, "timestep": timestep, "noise_seed": noise_seed}
    for_photos = {name: value for name, value in for_photos.items() if value is not None}
    pipe = load(model, config=config, device=device, dtype=dtype)
    results: list[dict[str, Any]] = []  # no Segmentation: they are large and there may be many
    failed = 0
    with progress("segments") as bars:
        for image, name in bars.track(list(zip(images, names, strict=True)), description="segments"):
            try:
                results.append(
                    _segment(image, output / name, pipe, settings, for_photos, of_pass=of_pass, force=force)
                )
            except Exception as error:  # whatever one picture does, the others are still done
                if len(images) == 1:
                    raise
                expected = isinstance(error, AttnscopeError)
                say_error(f"{image}: {error}" if expected else f"{image}: {type(error).__name__}: {error}")
                failed += 1
    _print(results, as_json)
    if failed:
        say_error(f"{failed} of {len(images)} pictures failed, as said above; {len(results)} are done")
        raise typer.Exit(1)


def _segment(
    image: Path,
    name: Path,
    pipe: Any,
    settings: dict[str, Any],
    for_photos: dict[str, Any],
    *,
    of_pass: int | None,
    force: bool,
) -> dict[str, Any]:
    """Segment one picture, which is decoded once, and write its files. Returns what to print."""
    from attnscope.pictures.reading import decoded_picture
    from attnscope.segmentation.segment import segment

    if of_pass is not None and not is_folder(image):
        raise ParameterError(f"--pass {of_pass}: {image} is a picture; only a trace has passes")
    if is_folder(image):
        segmentation = segment(open_pass(image, of_pass), pipe, **settings, **for_photos)
    else:
        segmentation = segment(decoded_picture(image), pipe, **settings, **for_photos)
    for path in segmentation.save(f"{name}.json", overwrite=force):  # one ending is taken off, and no other
        say_wrote(path)
    return {"image": str(image), **segmentation.to_dict()}


def _score(segment: dict[str, Any]) -> str:
    """How well the best word fits, whether it names the segment or is too weak."""
    scores: dict[str, float] = segment.get("scores", {})
    if not scores:
        return ""
    best = segment["label"] or max(scores, key=lambda word: scores[word])
    return f"{scores[best]:.2f}" if segment["label"] else f"{scores[best]:.2f} ({best})"


def _thresholds(thresholds: list[float] | None) -> float | list[float] | None:
    if not thresholds:
        return None
    return thresholds[0] if len(thresholds) == 1 else thresholds


def _names(images: Iterable[Path]) -> list[str]:
    """The results' names, which are the pictures'; of several alike, such as a.jpg and a.png, all but one are numbered.

    Raises:
        ParameterError: A picture is given twice.
    """
    places = [image.resolve() if image.name in ("", "..") else image.absolute() for image in images]
    if twice := sorted({str(place) for place in places if places.count(place) > 1}):
        stems = ", ".join(dict.fromkeys(Path(name).stem for name in twice))
        raise ParameterError(
            f"several pictures are named {stems}: {', '.join(twice)} is given twice; give it once"
        )
    return distinct_names(place.name if is_folder(place) else place.stem for place in places)


def _spare_inputs(images: Iterable[Path], files: Iterable[Path]) -> None:
    inputs = {os.path.realpath(image) for image in images}  # Path.resolve fails at links in a circle
    if taken := [str(file) for file in files if os.path.realpath(file) in inputs]:
        raise ParameterError(
            f"{taken[0]} is one of the pictures and would be written over: leave it out, or choose another folder "
            "with -o"
        )


def _print(results: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(results)
        return
    for result in results:
        segments, total = result["segments"], result["size"]["height"] * result["size"]["width"]
        rows = [
            (
                str(segment["id"]),
                segment["label"] or "",
                _score(segment),
                f"{100 * segment['area'] / total:.1f} %",
                str(tuple(segment["box"])),
            )
            for segment in segments
        ]
        columns = ("Segment", "Label", "Score", "Area", "Box (left, top, width, height)")
        title = f"{result['image']}: {len(segments)} segments"
        data_console().print(PlainTable(title, columns, rows, right="Area"))

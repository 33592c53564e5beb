"""`attnscope segment`: the segments of photos, or of the picture in a trace."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

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

if TYPE_CHECKING:
    from attnscope.segmentation.methods.diffseg import Thresholds

EXAMPLES = """Examples (after `attnscope demo`, which makes the picture):

  attnscope segment attnscope-demo/scene.png -o segments

  attnscope segment attnscope-demo/scene.png --labels house,grass,sky --threshold auto --json -o automatic

  attnscope segment attnscope-demo/scene.png --method ncut -o cuts"""

_ENDINGS = (".labels.png", ".overlay.png", ".edges.png", ".json")


Method = Literal["diffseg", "ncut", "words"]
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
    method: Annotated[Method, typer.Option("--method", help="How segments are found.")] = "diffseg",
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            "--threshold",
            "--thresholds",
            "-t",
            metavar="NATS|auto",
            help="Larger gives fewer segments; auto finds one for each picture. Repeat it: one per pass.",
        ),
    ] = None,
    preset: Annotated[Preset, typer.Option("--preset", help="reference: the authors' program.")] = "paper",
    refine: Annotated[bool, typer.Option("--refine", help="k-means after merging.")] = False,
    fit: Annotated[bool, typer.Option("--fit", help="Draw segments to the picture's own edges.")] = False,
    edges: Annotated[bool, typer.Option("--edges", help="NAME.edges.png, too.")] = False,
    crop: Annotated[bool, typer.Option("--crop", help="The paper's square crop.")] = False,
    timestep: Annotated[int | None, typer.Option("--timestep", help="0..999; 300 as in the paper.")] = None,
    noise_seed: Annotated[int | None, typer.Option("--noise-seed", help="Add the timestep's noise.")] = None,
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
    expect_folder(output, "NAME.labels.png, NAME.overlay.png and NAME.json")
    names = _names(images)
    endings = [ending for ending in _ENDINGS if edges or ending != ".edges.png"]
    files = [output / (name + ending) for name in names for ending in endings]
    _spare_inputs(images, files)
    refuse_inside_a_trace(output)
    refuse_overwriting(*files, force=force)
    settings: dict[str, Any] = {
        "labels": parse_words(labels),
        "method": method,
        "preset": preset,
        "refine": refine,
        "fit": fit,
        "thresholds": _thresholds(threshold),
    }
    for_photos = {"crop": crop or None, "timestep": timestep, "noise_seed": noise_seed}
    for_photos = {name: value for name, value in for_photos.items() if value is not None}
    saving = {"edges": edges, "overwrite": force}
    pipe = load(model, config=config, device=device, dtype=dtype)
    results: list[dict[str, Any]] = []  # no Segmentation: they are large and there may be many
    failed = 0
    with progress("segments") as bars:
        for image, name in bars.track(list(zip(images, names, strict=True)), description="segments"):
            try:
                results.append(
                    _segment(image, output / name, pipe, settings, for_photos, of_pass=of_pass, saving=saving)
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
    saving: dict[str, bool],
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
    for path in segmentation.save(f"{name}.json", **saving):  # one ending is taken off, and no other
        say_wrote(path)
    return {"image": str(image), **segmentation.to_dict()}


def _score(segment: dict[str, Any]) -> str:
    """How well the best word fits, whether it names the segment or is too weak."""
    scores: dict[str, float] = segment.get("scores", {})
    if not scores:
        return ""
    best = segment["label"] or max(scores, key=lambda word: scores[word])
    return f"{scores[best]:.2f}" if segment["label"] else f"{scores[best]:.2f} ({best})"


def _thresholds(texts: list[str] | None) -> Thresholds | None:
    if not texts:
        return None
    if texts == ["auto"]:
        return "auto"
    try:
        numbers = [float(text) for text in texts]
    except ValueError as cause:
        raise ParameterError(
            f"--threshold {' '.join(texts)}: expected numbers in nats, or auto alone"
        ) from cause
    return numbers[0] if len(numbers) == 1 else numbers


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

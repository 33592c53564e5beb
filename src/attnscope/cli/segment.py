"""`attnscope segment`: the segments of photos, or of the picture in a trace."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from attnscope.cli.loading import load, open_pass
from attnscope.cli.options import Config, Device, Dtype, Force, Json, Model, Pass, parse_words
from attnscope.cli.output import (
    data_console,
    plain_table,
    print_json,
    progress,
    refuse_overwriting,
    say_error,
    say_wrote,
)
from attnscope.errors import AttnscopeError, ParameterError

EXAMPLES = """Examples (after `attnscope demo`, which makes the picture):

  attnscope segment attnscope-demo/scene.png -o segments

  attnscope segment attnscope-demo/scene.png --labels house,grass,sky --threshold 0.6 --json"""

_ENDINGS = (".labels.png", ".overlay.png", ".json")


Preset = Literal["paper", "reference"]


def segment_command(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Pictures, or folders of traces.")],
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
    names = _names(images)
    refuse_overwriting(*(output / (name + ending) for name in names for ending in _ENDINGS), force=force)
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
    with progress() as bars:
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
    """Segment one picture and write its files. Returns what to print."""
    from attnscope.segmentation.segment import segment

    if of_pass is not None and not image.is_dir():
        raise ParameterError(f"--pass {of_pass}: {image} is a picture; only a trace has passes")
    if image.is_dir():
        segmentation = segment(open_pass(image, of_pass), pipe, **settings, **for_photos)
    else:
        segmentation = segment(image, pipe, **settings, **for_photos)
    for path in segmentation.save(f"{name}.json", overwrite=force):  # one ending is taken off, and no other
        say_wrote(path)
    return {"image": str(image), **segmentation.to_dict()}


def _thresholds(thresholds: list[float] | None) -> float | list[float] | None:
    if not thresholds:
        return None
    return thresholds[0] if len(thresholds) == 1 else thresholds


def _names(images: Iterable[Path]) -> list[str]:
    """The results' names, which are the pictures'. Two pictures of one name can't be done in one go."""
    names = [image.name if image.is_dir() else image.stem for image in images]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ParameterError(
            f"several pictures are named {', '.join(twice)}: run them into folders of their own (-o)"
        )
    return names


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
                f"{100 * segment['area'] / total:.1f} %",
                str(tuple(segment["box"])),
            )
            for segment in segments
        ]
        columns = ("Segment", "Label", "Area", "Box (left, top, width, height)")
        title = f"{result['image']}: {len(segments)} segments"
        data_console().print(plain_table(title, columns, rows, right="Area"))

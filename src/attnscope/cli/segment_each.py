"""`attnscope segment` of pictures and traces that are named one by one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from attnscope.cli.loading import load_unless_traces, open_pass
from attnscope.cli.output import print_json, progress, refuse_overwriting, say_error, say_wrote
from attnscope.cli.tables import PlainTable
from attnscope.cli.targets import expect_folder, refuse_inside_a_trace
from attnscope.cli.terminal import data_console
from attnscope.errors import AttnscopeError, ParameterError
from attnscope.files import is_folder
from attnscope.files.names import distinct_names

_ENDINGS = (".labels.png", ".overlay.png", ".json")


@dataclass(frozen=True)
class Asked:
    """What is done with each.

    Attributes:
        model: As for `attnscope.load_pipeline`.
        loading: Keywords of it.
        settings: Keywords of `attnscope.segment`.
        for_photos: Those that only a photo takes.
        of_pass: Number of a trace's pass.
        edges: Write NAME.edges.png, too.
        force: Write over files that are there.
    """

    model: str
    loading: dict[str, Any]
    settings: dict[str, Any]
    for_photos: dict[str, Any]
    of_pass: int | None
    edges: bool
    force: bool


def segment_each(images: Sequence[Path], output: Path, asked: Asked, *, as_json: bool) -> None:
    """Segment each, and print a table for each. A single one's error is the command's own.

    Args:
        images: Pictures and traces.
        output: Where files go.
        asked: What is done.
        as_json: Print JSON instead.

    Raises:
        typer.Exit: Code 1; at least one of several failed.
        ParameterError: A picture is given twice, or would be written over.
        OutputError: A file is there already.
    """
    expect_folder(output, "NAME.labels.png, NAME.overlay.png and NAME.json")
    names = _names(images)
    endings = (*_ENDINGS, ".edges.png") if asked.edges else _ENDINGS
    files = [output / (name + ending) for name in names for ending in endings]
    _spare_inputs(images, files)
    refuse_inside_a_trace(output)
    refuse_overwriting(*files, force=asked.force)
    pipe = load_unless_traces(asked.model, images, **asked.loading)
    results: list[dict[str, Any]] = []  # no Segmentation: they are large and there may be many
    failed = 0
    with progress("segments") as bars:
        for image, name in bars.track(list(zip(images, names, strict=True)), description="segments"):
            try:
                results.append(_segment(image, output / name, pipe, asked))
            except Exception as error:  # whatever one picture does, the others are still done
                if len(images) == 1:
                    raise
                expected = isinstance(error, AttnscopeError)
                say_error(f"{image}: {error}" if expected else f"{image}: {type(error).__name__}: {error}")
                failed += 1
    _print(results, as_json)
    if failed:
        say_error(f"{failed} of {len(images)} pictures failed, see above; {len(results)} are done")
        raise typer.Exit(1)


def _segment(image: Path, name: Path, pipe: Any, asked: Asked) -> dict[str, Any]:
    """Segment one picture, which is decoded once, and write its files. Returns what to print."""
    from attnscope.pictures.reading import decoded_picture
    from attnscope.segmentation.segment import segment

    if asked.of_pass is not None and not is_folder(image):
        raise ParameterError(f"--pass {asked.of_pass}: {image} is a picture; only a trace has passes")
    source = open_pass(image, asked.of_pass) if is_folder(image) else decoded_picture(image)
    segmentation = segment(source, pipe, **asked.settings, **asked.for_photos)
    # one ending is taken off the name, and no other
    for path in segmentation.save(f"{name}.json", edges=asked.edges, overwrite=asked.force):
        say_wrote(path)
    return {"image": str(image), **segmentation.to_dict()}


def _score(segment: dict[str, Any]) -> str:
    """How well the best word fits, whether it names the segment or is too weak."""
    scores: dict[str, float] = segment.get("scores", {})
    if not scores:
        return ""
    best = segment["label"] or max(scores, key=lambda word: scores[word])
    return f"{scores[best]:.2f}" if segment["label"] else f"{scores[best]:.2f} ({best})"


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
            f"{taken[0]} is one of the pictures and would be overwritten: leave it out, or choose another "
            "folder with -o"
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

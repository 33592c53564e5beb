"""`attnscope segment --click`: the mask of a thing that is clicked on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attnscope.cli.loading import load, open_pass
from attnscope.cli.output import print_data, print_json, refuse_overwriting, say_wrote, working
from attnscope.cli.targets import expect_folder, refuse_inside_a_trace
from attnscope.errors import ParameterError
from attnscope.files import is_folder
from attnscope.files.names import distinct_names

ENDINGS = (".mask.png", ".overlay.png", ".json")


def segment_by_clicks(
    images: Sequence[Path],
    plus: Sequence[str],
    minus: Sequence[str],
    output: Path,
    model: Mapping[str, Any],
    *,
    not_for_clicks: Mapping[str, Any],
    timestep: int | None,
    of_pass: int | None,
    as_json: bool,
    force: bool,
) -> None:
    """Write NAME.mask.png, NAME.overlay.png and NAME.json of the thing under the clicks.

    Args:
        images: One picture, or the folder of a trace.
        plus: Points on it, "X,Y" each.
        minus: Points beside it.
        output: Folder.
        model: As for `load`.
        not_for_clicks: Options of DiffSeg, by name; those that were given are refused.
        timestep: Of a photo's pass.
        of_pass: Of a trace.
        as_json: Print JSON.
        force: Write over files.

    Raises:
        ParameterError: There are several pictures, no plus click, or an option that clicks do not have.
    """
    if len(images) != 1:
        raise ParameterError(
            f"--click is a point in one picture, and {len(images)} pictures are given: give one"
        )
    if chosen := [f"--{name}" for name, value in not_for_clicks.items() if value]:
        raise ParameterError(f"{', '.join(chosen)} can't be chosen with --click. Leave it out")
    image, clicks, beside = images[0], points(plus, "--click"), points(minus, "--minus")
    name = output / _name(image)
    expect_folder(output, "NAME.mask.png, NAME.overlay.png and NAME.json")
    refuse_inside_a_trace(output)
    refuse_overwriting(*(name.with_name(name.name + ending) for ending in ENDINGS), force=force)
    with working("loading torch"):
        from attnscope.pictures.reading import check_header
        from attnscope.segmentation.clicking import click
    if of_pass is not None and not is_folder(image):
        raise ParameterError(f"--pass {of_pass}: {image} is a picture; only a trace has passes")
    if is_folder(image):
        clicked = click(open_pass(image, of_pass), clicks, beside, further=False)
    else:
        check_header(image)
        clicked = click(image, clicks, beside, load(**model), timestep=timestep, further=False)
    for path in clicked.save(f"{name}.json", overwrite=force):
        say_wrote(path)
    if as_json:
        print_json([{"image": str(image), **clicked.to_dict()}])
    else:
        print_data(f"{image}: {100 * clicked.mask.mean():.1f} % of the picture, score {clicked.score:.2f}")


def points(texts: Sequence[str], option: str) -> list[tuple[float, float]]:
    """Points from "X,Y".

    Args:
        texts: What stood behind the option.
        option: Its name.

    Raises:
        ParameterError: A text is no point.
    """
    found = []
    for text in texts:
        try:
            x, y = (float(part) for part in text.split(","))
        except ValueError as cause:
            raise ParameterError(
                f"{option} {text!r}: expected X,Y in pixels, such as {option} 120,80"
            ) from cause
        found.append((x, y))
    return found


def _name(image: Path) -> str:
    place = image.resolve() if image.name in ("", "..") else image.absolute()
    return next(iter(distinct_names([place.name if is_folder(place) else place.stem])))

"""`attnscope heatmap` of a photo: the model reads it with a prompt, and what it attended to is a trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnscope.cli.loading import load
from attnscope.cli.output import counted, progress, refuse_overwriting, say_wrote, working
from attnscope.cli.targets import PICTURES, expect_folder, refuse_inside_a_trace
from attnscope.errors import ParameterError
from attnscope.files import is_folder

if TYPE_CHECKING:
    from attnscope.trace.trace import Trace


def is_photo(source: Path) -> bool:
    """Whether a path is meant as a photo, and not as the folder of a trace.

    Args:
        source: What the command was given.
    """
    return not is_folder(source) and (source.exists() or source.suffix.lower() in PICTURES)


def prompt_and_words(source: Path, texts: Sequence[str] | None) -> tuple[str, list[str]]:
    """What a photo is read with, and the words whose maps are drawn.

    Args:
        source: The photo.
        texts: What stood behind it.

    Raises:
        ParameterError: There is no prompt.
    """
    if not texts:
        raise ParameterError(
            f"{source} is a photo, so give a text that describes it first: "
            f'attnscope heatmap {source} "a cat on a sofa" cat'
        )
    return texts[0], list(texts[1:])


def refuse_for_a_trace(source: Path, choices: Mapping[str, Any]) -> None:
    """Refuse options of photos where a trace is read.

    Args:
        source: The trace.
        choices: Values of the options, None for those that were not given.

    Raises:
        ParameterError: One was given.
    """
    for name, value in choices.items():
        if value is not None:
            option = "inversion-steps" if name == "num_inference_steps" else name.replace("_", "-")
            raise ParameterError(f"--{option} is for photos, and {source} is not one: leave it out")


def read(
    source: Path,
    prompt: str,
    model: dict[str, Any],
    choices: dict[str, Any],
    *,
    kept_in: Path | None,
    force: bool,
) -> Trace:
    """The trace of a photo.

    Args:
        source: The photo.
        prompt: What it is read with.
        model: As for `load`.
        choices: Of `attnscope.read_photo`.
        kept_in: A folder for the trace, None to forget it.
        force: Replace an older trace there.
    """
    with working("loading torch"):
        from attnscope.photos.reading import read_photo
        from attnscope.pictures.reading import decoded_picture
    if kept_in is not None:
        expect_folder(kept_in, "a trace")
        refuse_inside_a_trace(kept_in.absolute().parent)
        refuse_overwriting(folders=[kept_in], force=force)
    photo = decoded_picture(source)
    pipe = load(**model)
    if kept_in is None:
        choices = {**choices, "kind": "cross"}  # all that heat maps need
    with progress("reading the photo") as bars:
        trace = read_photo(pipe, photo, prompt, progress=counted(bars, "reading the photo"), **choices)
    if kept_in is not None:
        say_wrote(trace.save(kept_in, overwrite=force))
    return trace

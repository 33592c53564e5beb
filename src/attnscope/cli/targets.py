"""What `-o` names: a folder, or one file where a command writes one."""

from __future__ import annotations

import os
from pathlib import Path

from attnscope.errors import ParameterError

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".svg", ".pdf")
"""Endings of names that are meant as pictures."""
_DATA = (".npy", ".npz", ".json", ".csv", ".txt", ".md", ".html", ".htm", ".zip", ".safetensors")
_WRITTEN_PICTURES = (".png", ".jpg", ".jpeg", ".webp")
_MAP_ENDINGS = (*_WRITTEN_PICTURES, ".npy")


def is_file_name(output: Path) -> bool:
    """Whether a path is meant as a file: it ends like a picture or data, and no folder has this name.

    Args:
        output: What -o was given.
    """
    return output.suffix.lower() in (*PICTURES, *_DATA) and not output.is_dir()


def expect_folder(output: Path, what: str) -> None:
    """Refuse the name of a file where a command writes several.

    Args:
        output: What -o was given.
        what: The files that are written.

    Raises:
        ParameterError: It is the name of a file.
    """
    if is_file_name(output):
        raise ParameterError(
            f"-o {output}: this command writes {what}, so -o is a folder: choose a name without {output.suffix}, "
            "or make a folder of this name first"
        )


def map_files(output: Path, names: list[str], *, drawn: bool, kind: str = "heat") -> list[Path]:
    """A file for each heat map: the one that -o names, or NAME.heat.png in the folder that it names.

    Args:
        output: What -o was given.
        names: A name for each map.
        drawn: Whether there is a picture to draw on; the maps' numbers are written otherwise.
        kind: What stands before the ending of names in a folder.

    Raises:
        ParameterError: -o is one file for several maps, or has another ending.
    """
    if not is_file_name(output):
        return [output / f"{name}.{kind}{'.png' if drawn else '.npy'}" for name in names]
    if output.suffix.lower() not in _MAP_ENDINGS:
        raise ParameterError(
            f"-o {output}: a heat map is written as .png, .jpg or .webp, and its numbers as .npy; expected one of "
            "these, or a folder"
        )
    _expect_one(output, names, "heat maps")
    if not drawn and output.suffix.lower() != ".npy":
        raise ParameterError(
            f"-o {output}: the trace holds no picture to draw on; give a name that ends in .npy for the numbers"
        )
    return [output]


def view_files(output: Path, names: list[str], ending: str, endings: tuple[str, ...]) -> list[Path]:
    """A file for each word: the one that -o names, or the word with an ending in the folder that it names.

    Args:
        output: What -o was given.
        names: A name for each word.
        ending: Of files in a folder.
        endings: Those that the name of one file may have.

    Raises:
        ParameterError: -o is one file for several words, or has another ending.
    """
    if output.is_dir() or not (is_file_name(output) or output.suffix.lower() in endings):
        return [output / f"{name}{ending}" for name in names]
    if output.suffix.lower() not in endings:
        listed = ", ".join(endings)
        raise ParameterError(f"-o {output}: expected a name that ends in {listed}, or a folder")
    _expect_one(output, names, "words")
    return [output]


def _expect_one(output: Path, names: list[str], what: str) -> None:
    if len(names) > 1:
        raise ParameterError(
            f"-o {output} is one file for {len(names)} {what}: give one word, or a folder for all of them"
        )


def picture_file(output: Path, name: str) -> Path:
    """The file of a picture: the one that -o names, or NAME.png in the folder that it names.

    Args:
        output: What -o was given.
        name: The picture's name.

    Raises:
        ParameterError: -o has another ending.
    """
    if not is_file_name(output):
        return output / f"{name}.png"
    if output.suffix.lower() not in _WRITTEN_PICTURES:
        raise ParameterError(
            f"-o {output}: the picture is written as .png, .jpg or .webp; expected one of these, or a folder"
        )
    return output


def refuse_inside_a_trace(output: Path) -> None:
    """Refuse to write into a trace, which is replaced and removed as a whole.

    Args:
        output: What -o was given.

    Raises:
        ParameterError: A folder above it is a trace.
    """
    for folder in (output.resolve(), *output.resolve().parents):
        manifest = folder / "manifest.json"
        if os.access(manifest, os.R_OK) and manifest.is_file():  # only then is there something slow to load
            from attnscope.storage.saving import is_trace

            if is_trace(folder):
                raise ParameterError(
                    f"{output.absolute()} is inside the trace {folder}, which is replaced and removed as a whole: "
                    "choose a place outside of it"
                )

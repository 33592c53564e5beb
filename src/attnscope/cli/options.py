"""Options that several commands share, and how their text is read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from attnscope.errors import ParameterError

_SIZE = re.compile(r"(\d{1,6})(?:[xX×](\d{1,6}))?")
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")
MAX_TRACE_GB = 8.0
"""A larger trace is not written unless it is asked for."""
_MOST_NUMBERS = 10_000  # in one list such as 0-49

Model = Annotated[
    str,
    typer.Option("--model", "-m", help="demo, a hub id, a local folder, or a single .safetensors file."),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FOLDER",
        help="For a single file without network: folder of a model of the same kind.",
    ),
]
Device = Annotated[str | None, typer.Option("--device", help="cpu, cuda, mps ...; the best one by default.")]
Dtype = Annotated[
    str | None, typer.Option("--dtype", help="float32, float16 or bfloat16; float32 by default.")
]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder to write into.")]
Force = Annotated[bool, typer.Option("--force", "-f", help="Overwrite what is already there.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table.")]
Pass = Annotated[
    int | None,
    typer.Option("--pass", metavar="N", help="Which pass of a trace that has several, from 0."),
]
Seed = Annotated[int, typer.Option("--seed", "-s", help="Seed of the random numbers.")]
Size = Annotated[
    str | None,
    typer.Option(
        "--size", metavar="HEIGHTxWIDTH", help="Pixels, height first; the model's own size by default."
    ),
]


def parse_size(text: str | None) -> tuple[int, int] | None:
    """(height, width) in pixels.

    Args:
        text: "768x512" (768 high, 512 wide), "512" (a square), or None.

    >>> parse_size("768x512")
    (768, 512)
    """
    if text is None:
        return None
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ParameterError(
            f"--size {text!r}: expected HEIGHTxWIDTH in pixels, as in 768x512, or one number"
        )
    return int(match[1]), int(match[2] or match[1])


def parse_numbers(name: str, text: str | None) -> list[int] | None:
    """Numbers and ranges, both ends included.

    Args:
        name: The option, for messages.
        text: Numbers and ranges with commas, or None.

    >>> parse_numbers("--blocks", "1,5-7")
    [1, 5, 6, 7]
    """
    if text is None:
        return None
    numbers: list[int] = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise ParameterError(f"{name} {text!r}: expected numbers and ranges, as in 1,5-7")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last - first > _MOST_NUMBERS:
            raise ParameterError(f"{name} {text!r}: the range {part.strip()} is empty or too long")
        numbers.extend(range(first, last + 1))
    return numbers


def parse_words(options: list[str] | None) -> list[str] | None:
    """Words from repeated options and comma lists.

    Args:
        options: What each option got, or None.

    >>> parse_words(["house,red star", "grass"])
    ['house', 'red star', 'grass']
    """
    words = [word.strip() for part in options or [] for word in part.split(",") if word.strip()]
    return words or None

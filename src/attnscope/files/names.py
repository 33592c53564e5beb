"""Names of files, made of texts such as words of a prompt: safe on every system, and never two alike."""

from __future__ import annotations

import itertools
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator

_LONGEST_NAME = 200  # bytes of a name without its ending; most systems take 255 with it
_RESERVED = re.compile(r"con|prn|aux|nul|(com|lpt)\d")  # devices of Windows, whatever ending they have


def file_names(texts: Iterable[str]) -> list[str]:
    """A name without an ending for each text, the same in every run: safe on every system, no two alike.

    What is no letter, mark, number or symbol becomes '-'. The first of several alike keeps its name.

    Args:
        texts: Any texts, such as words of a prompt.

    >>> file_names(["red house", "a", "A", "a-2", "../x", "con", "?"])
    ['red-house', 'a', 'A-3', 'a-2', 'x', 'word-con', 'word']
    """
    return distinct_names(map(_plain_name, texts))


def distinct_names(names: Iterable[str]) -> list[str]:
    """The names, cut where an ending would not fit, and numbered where a disk could take two of them for one.

    Args:
        names: Names that a file may have.

    >>> distinct_names(["Cat", "cat", "cat-2"])
    ['Cat', 'cat-3', 'cat-2']
    """
    wanted = [_cut(name, _LONGEST_NAME) for name in names]
    taken = {_as_on_disk(name) for name in wanted}  # whoever comes first keeps its own name
    numbers = {alike: itertools.count(2) for alike in taken}
    came: set[str] = set()
    distinct = []
    for name in wanted:
        alike = _as_on_disk(name)
        distinct.append(_numbered(name, numbers[alike], taken) if alike in came else name)
        came.add(alike)
    return distinct


def _numbered(name: str, numbers: Iterator[int], taken: set[str]) -> str:
    """The name with the next number that is free, which is taken then."""
    start = _cut(name, _LONGEST_NAME - 8)
    free = next(other for number in numbers if _as_on_disk(other := f"{start}-{number}") not in taken)
    taken.add(_as_on_disk(free))
    return free


def _as_on_disk(name: str) -> str:
    """What a disk may compare: case, accents written in two ways, wide letters and marks that nobody sees are alike."""
    seen = "".join(letter for letter in name if not _is_unseen(letter))
    folded = unicodedata.normalize("NFKD", seen).upper().casefold()
    return unicodedata.normalize("NFKD", folded)


def _plain_name(text: str) -> str:
    letters = (
        "" if _is_unseen(letter) else letter if _is_plain(letter) else "-"
        for letter in unicodedata.normalize("NFC", text)
    )
    letters = (letter if _fits_disk(letter) else f"u{ord(letter):x}" for letter in letters)
    name = re.sub("-+", "-", "".join(letters)).strip("-") or "word"
    return f"word-{name}" if _RESERVED.fullmatch(_as_on_disk(name)) else name


def _is_plain(letter: str) -> bool:
    kind = unicodedata.category(letter)[0]
    return letter == "_" or kind in "LMN" or (kind == "S" and not letter.isascii())


def _fits_disk(letter: str) -> bool:
    """False for letters beyond ASCII where Python takes the system for one of ASCII alone."""
    return letter.isascii() or letter.encode(sys.getfilesystemencoding(), "replace") != b"?"


def _is_unseen(letter: str) -> bool:
    return unicodedata.category(letter) == "Cf" or "\ufe00" <= letter <= "\ufe0f"  # joiners and the like


def _cut(name: str, length: int) -> str:
    """The beginning of a name, in whole letters. Some disks write accents apart, so both ways of writing count."""

    def is_long() -> bool:
        written = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
        return max(len(letters.encode("utf-8", "surrogatepass")) for letters in written) > length

    while is_long():
        name = name[: -max(1, (len(name) - length) // 2)]
    return name

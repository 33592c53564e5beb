"""Fonts for text of any script: Pillow's own, which has ASCII, then those that this machine has."""

from __future__ import annotations

import importlib.util
import os
import struct
import sys
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import TypeAlias

from PIL import ImageFont

Font: TypeAlias = "ImageFont.FreeTypeFont | ImageFont.ImageFont"

MAX_FONTS = 500
"""How many of a machine's fonts are looked at."""
_PLAIN_NAMES = (  # begin so, in lower case; the first that has a letter is taken
    "dejavusans.", "notosans-", "notosans[", "notosanscjk", "notosans", "arial unicode", "segoeui.", "arial.",
    "freesans.", "hiragino", "pingfang", "msgothic", "yugoth", "msyh", "malgun", "applesdgothic", "nirmala", "kohinoor",
    "leelawui", "thonburi", "wqy", "droidsansfallback", "seguisym", "seguiemj", "symbola", "notoemoji",
)  # fmt: skip
_OTHER_STYLES = ("bold", "italic", "oblique", "mono", "serif", "condensed", "light", "thin", "black")
_PLACEHOLDERS = ("lastresort", "adobeblank")  # have every letter, as a box or as nothing
_MAX_CMAP_BYTES = 4_000_000


class Face:
    """A font at any size.

    Args:
        path: Its file; None for Pillow's own.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path

    def at(self, size_px: int) -> Font:
        """The font at one size.

        Args:
            size_px: In pixels.
        """
        return _opened(self.path, size_px)

    def has(self, text: str) -> bool:
        """Whether it has a picture of every letter. Spaces and joiners need none.

        Args:
            text: Any text.
        """
        return all(_has_letter(self.path, letter) for letter in set(text) if _is_visible(letter))


def face_of(text: str) -> Face | None:
    """The first font that has all letters of a text, None if there is none.

    Args:
        text: Any text.
    """
    return next((face for face in _faces() if face.has(text)), None)


def _faces() -> Iterator[Face]:
    yield Face()
    yield from _machines_faces()


@cache
def _machines_faces() -> tuple[Face, ...]:
    return tuple(Face(path) for path in font_files())


def font_files() -> list[Path]:
    """The font files of this machine, those for plain text first."""
    found = {path for folder in _font_folders() for path in _files_below(folder)}
    return sorted(found, key=_preference)[:MAX_FONTS]


def _preference(path: Path) -> tuple[int, int, str]:
    name = path.name.lower()
    rank = next((at for at, start in enumerate(_PLAIN_NAMES) if name.startswith(start)), len(_PLAIN_NAMES))
    return rank, sum(style in name for style in _OTHER_STYLES), str(path)


def _files_below(folder: Path) -> Iterator[Path]:
    for at, _, names in os.walk(folder):
        for name in names:
            plain = name.lower()
            if plain.endswith((".ttf", ".otf", ".ttc")) and not plain.startswith(_PLACEHOLDERS):
                yield Path(at, name)


def _font_folders() -> list[Path]:
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 (Path.home fails where there is none)
    if sys.platform == "win32":
        folders = [Path(os.environ.get("WINDIR", r"C:\Windows"), "Fonts")]
        folders.append(Path(os.environ.get("LOCALAPPDATA", home), "Microsoft", "Windows", "Fonts"))
    elif sys.platform == "darwin":
        folders = [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts"]
    else:
        folders = [Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), home / ".fonts"]
        folders.append(Path(os.environ.get("XDG_DATA_HOME", home / ".local/share"), "fonts"))
    plots = importlib.util.find_spec("matplotlib")  # comes with DejaVu Sans; it is not imported
    if plots is not None and plots.origin is not None:
        folders.append(Path(plots.origin).parent / "mpl-data" / "fonts" / "ttf")
    return folders


def _is_visible(letter: str) -> bool:
    return unicodedata.category(letter) not in ("Zs", "Cf") and letter not in "\ufe0e\ufe0f"


@lru_cache(maxsize=64)  # each holds an open file
def _opened(path: Path | None, size_px: int) -> Font:
    return ImageFont.load_default(size_px) if path is None else ImageFont.truetype(path, size_px)


@lru_cache(maxsize=10_000)
def _has_letter(path: Path | None, letter: str) -> bool:
    """The font's table says so, and it draws something else than for a letter that no font has."""
    if path is not None and not any(first <= ord(letter) <= last for first, last in _ranges(path)):
        return False
    try:
        font = _opened(path, 20)
        drawn, absent = font.getmask(letter), font.getmask("\U0010ffff")
    except (OSError, ValueError):  # a font of bitmaps in one size, or a broken one
        return False
    return drawn.getbbox() is not None and (drawn.size, bytes(drawn)) != (absent.size, bytes(absent))


@lru_cache(maxsize=MAX_FONTS)
def _ranges(path: Path) -> tuple[tuple[int, int], ...]:
    """First and last letter of each range in a font's character map; () for what is no font."""
    try:
        with path.open("rb") as file:
            return tuple(_read_ranges(_cmap(file)))
    except (OSError, struct.error, ValueError):
        return ()


def _cmap(file) -> bytes:
    """The table `cmap` of a font, or of the first one in a collection."""
    head = file.read(16)
    start = struct.unpack(">I", head[12:16])[0] if head[:4] == b"ttcf" else 0
    file.seek(start + 4)
    (tables,) = struct.unpack(">H6x", file.read(8))
    for _ in range(tables):
        tag, offset, length = struct.unpack(">4s4xII", file.read(16))
        if tag == b"cmap":
            file.seek(offset)
            return file.read(min(length, _MAX_CMAP_BYTES))
    return b""


def _read_ranges(cmap: bytes) -> Iterator[tuple[int, int]]:
    """From the subtables of formats 4 and 12, which every font with Unicode has."""
    (count,) = struct.unpack_from(">2xH", cmap)
    for (at,) in struct.iter_unpack(">4xI", cmap[4 : 4 + 8 * count]):
        (kind,) = struct.unpack_from(">H", cmap, at)
        if kind == 4:
            (twice,) = struct.unpack_from(">H", cmap, at + 6)
            lasts = struct.unpack_from(f">{twice // 2}H", cmap, at + 14)
            firsts = struct.unpack_from(f">{twice // 2}H", cmap, at + 16 + twice)
            yield from zip(firsts, lasts, strict=True)
        elif kind == 12:
            (groups,) = struct.unpack_from(">I", cmap, at + 12)
            for first, last, _ in struct.iter_unpack(">III", cmap[at + 16 : at + 16 + 12 * groups]):
                yield first, last

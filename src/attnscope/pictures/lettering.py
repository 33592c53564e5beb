"""Lines of text on pictures, in any script: each letter from a font that has it, or else as its number."""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from PIL import ImageDraw

from attnscope.pictures.fonts import Face, Font, face_of

_JOINERS = "\u200c\u200d"
_SKIN_TONES = range(0x1F3FB, 0x1F400)


class FontWarning(UserWarning):
    """No font on this machine has a letter that is to be written."""


@dataclass(frozen=True)
class Line:
    """One line of text, ready to be drawn.

    Attributes:
        runs: Parts of the text from left to right, each with its font.
        files: Font files that are used, besides Pillow's own font.
    """

    runs: tuple[tuple[str, Font], ...]
    files: tuple[Path, ...] = ()

    @property
    def text(self) -> str:
        """What is drawn."""
        return "".join(text for text, _ in self.runs)

    @property
    def width_px(self) -> float:
        """Its width in pixels."""
        return sum(font.getlength(text) for text, font in self.runs)

    @property
    def ascent_px(self) -> int:
        """What its fonts need above the line that letters stand on."""
        return max((_metrics(font)[0] for _, font in self.runs), default=0)

    @property
    def descent_px(self) -> int:
        """What its fonts need below the line that letters stand on."""
        return max((_metrics(font)[1] for _, font in self.runs), default=0)

    def draw(
        self,
        draw: ImageDraw.ImageDraw,
        left_top: tuple[float, float],
        ink: str,
        *,
        rim_px: int = 0,
        rim: tuple[int, int, int] | None = None,
    ) -> None:
        """Draw it.

        Args:
            draw: Where to draw.
            left_top: (x, y) of its upper left corner, in pixels.
            ink: Its colour.
            rim_px: Width of a rim around letters.
            rim: The rim's colour.
        """
        left, baseline = left_top[0], left_top[1] + self.ascent_px
        for text, font in self.runs:
            draw.text((left, baseline), text, ink, font, "ls", stroke_width=rim_px, stroke_fill=rim)
            left += font.getlength(text)


def line_of(text: str, size_px: int) -> Line:
    """A text as one line. Letters that no font on this machine has are written as Python escapes them.

    Args:
        text: Any text; line breaks and the like become spaces.
        size_px: Size of the letters in pixels.

    Warns:
        FontWarning: A letter is missing on this machine; the message says what to install.
    """
    plain = "".join(" " if unicodedata.category(letter) == "Cc" else letter for letter in text)
    faced = list(_with_faces(unicodedata.normalize("NFC", plain)))
    if any(face is None for _, face in faced):
        warnings.warn(
            "no font on this machine has some of the characters in captions, which are written as codes "
            "such as \\u6f22: install Noto (Debian and Ubuntu: apt install fonts-noto-core fonts-noto-cjk "
            "fonts-symbola; else https://fonts.google.com/noto), then start Python again",
            FontWarning,
            stacklevel=1,  # always the same place, so that Python says it once
        )
    written = [(text, face) if face is not None else (ascii(text)[1:-1], Face()) for text, face in faced]
    runs = [
        ("".join(text for text, _ in run), Face(path).at(size_px))
        for path, run in groupby(written, key=lambda run: run[1].path)
    ]
    files = dict.fromkeys(face.path for _, face in written if face.path is not None)
    return Line(tuple(runs), tuple(files))


def fitted_line(text: str, width_px: float, size_px: int) -> Line:
    """A text as one line, cut with an ellipsis if it would be too wide.

    Args:
        text: The text.
        width_px: The most that it may take, in pixels.
        size_px: Size of the letters in pixels.

    Warns:
        FontWarning: As for `line_of`.
    """
    whole = line_of(text, size_px)
    if whole.width_px <= width_px:
        return whole
    letters = list(clusters(text))
    fits, too_many = 0, len(letters)
    while too_many - fits > 1:  # how many letters fit beside the ellipsis
        count = (fits + too_many) // 2
        if line_of("".join(letters[:count]).rstrip() + "…", size_px).width_px <= width_px:
            fits = count
        else:
            too_many = count
    return line_of("".join(letters[:fits]).rstrip() + "…", size_px)


def clusters(text: str) -> Iterator[str]:
    """What readers take for single letters: each with its accents, joiners and skin tones.

    Args:
        text: Any text.
    """
    letters = ""
    for letter in text:
        if letters and not _goes_on(letters[-1], letter):
            yield letters
            letters = ""
        letters += letter
    if letters:
        yield letters


def _goes_on(before: str, letter: str) -> bool:
    joined = before in _JOINERS or unicodedata.combining(before) == 9  # a virama
    is_mark = unicodedata.category(letter).startswith("M") or letter in _JOINERS
    return joined or is_mark or ord(letter) in _SKIN_TONES


def _with_faces(text: str) -> Iterator[tuple[str, Face | None]]:
    """Parts of a text with their fonts: the whole of it in one, else each word, else each letter."""
    if (face := face_of(text)) is not None:
        yield text, face
        return
    for word in re.findall(r"\s+|\S+", text):
        if (face := face_of(word)) is not None:
            yield word, face
        else:
            yield from ((letter, face_of(letter)) for letter in clusters(word))


def _metrics(font: Font) -> tuple[int, int]:
    """(ascent, descent) in pixels; Pillow's bitmap font has none."""
    return font.getmetrics() if hasattr(font, "getmetrics") else (int(font.getbbox("Ag")[3]), 0)

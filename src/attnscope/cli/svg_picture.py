"""A drawing of the atlas as pixels: the few kinds of SVG marks that it is made of, drawn larger and scaled down."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree

from PIL import Image, ImageDraw

from attnscope.atlas.diagram.marks import STYLE
from attnscope.pictures.fonts import face_of
from attnscope.pictures.lettering import Line, line_of

_SCALE, _SUPERSAMPLED = 2, 2  # pixels of the picture to one of the drawing; each of them drawn as 2 x 2
_SVG = "{http://www.w3.org/2000/svg}"
_ARROW = 5.5  # lengths of an arrow's head, in widths of its line
_BOLD = 0.025  # rim of bold letters, in their size
Marks = Mapping[str, str]


def svg_picture(svg: str) -> Image.Image:
    """A drawing as a picture, twice as large as the SVG says.

    Args:
        svg: From `attnscope.atlas.diagram`.
    """
    root = ElementTree.fromstring(svg)
    size = [round(float(root.get(side, "1")) * _SCALE) for side in ("width", "height")]
    image = Image.new("RGB", (size[0] * _SUPERSAMPLED, size[1] * _SUPERSAMPLED), "#ffffff")
    pen = _Pen(ImageDraw.Draw(image), "".join(text.text or "" for text in root.iter(f"{_SVG}text")))
    draws = {"rect": pen.box, "path": pen.path, "text": pen.text}
    for mark in root:
        name = mark.tag.removeprefix(_SVG)
        if name in draws and "%" not in mark.get("width", ""):
            draws[name](mark)
    return image.resize((size[0], size[1]), Image.Resampling.LANCZOS)


class _Pen:
    """Draws marks, whose lengths are those of the SVG."""

    def __init__(self, draw: ImageDraw.ImageDraw, letters: str) -> None:
        self._draw, self._times = draw, _SCALE * _SUPERSAMPLED
        self._face = face_of(letters)  # one for all texts, so that they are alike
        self._styles = {
            name: _declared(rules) for name, rules in re.findall(r"\.([\w-]+) \{([^}]*)\}", STYLE)
        }
        self._ink = _declared(re.findall(r"\btext \{([^}]*)\}", STYLE)[0])["fill"]

    def box(self, mark: ElementTree.Element) -> None:
        x, y, width, height, radius = (
            float(mark.get(name, "0")) * self._times for name in ("x", "y", "width", "height", "rx")
        )
        self._draw.rounded_rectangle(
            (x, y, x + width, y + height),
            radius,
            mark.get("fill"),
            mark.get("stroke"),
            round(float(mark.get("stroke-width", "0")) * self._times),
        )

    def text(self, mark: ElementTree.Element) -> None:
        style = self._style(mark)
        size = round(float(style["font-size"].removesuffix("px")) * self._times)
        words = mark.text or ""
        line = line_of(words, size) if self._face is None else Line(((words, self._face.at(size)),))
        x, y = (float(mark.get(name, "0")) * self._times for name in ("x", "y"))
        left = x - line.width_px / 2 if style.get("text-anchor") == "middle" else x
        ink = style.get("fill", self._ink)
        rim = round(size * _BOLD) if style.get("font-weight") == "700" else 0
        red, green, blue = (int(ink[at : at + 2], 16) for at in (1, 3, 5))
        line.draw(
            self._draw, (left, y - line.ascent_px), ink, rim_px=rim, rim=(red, green, blue) if rim else None
        )

    def path(self, mark: ElementTree.Element) -> None:
        style = self._style(mark)
        width, ink = float(style["stroke-width"]) * self._times, style["stroke"]
        corners = _corners(mark.get("d", ""), self._times)
        head = _ARROW * width
        end, before = corners[-1], corners[-2]
        across, down = _direction(before, end)
        neck = (end[0] - across * head / 2, end[1] - down * head / 2)
        dash = [float(length) * self._times for length in style.get("stroke-dasharray", "").split()]
        for start, stop in zip(corners[:-1], [*corners[1:-1], neck], strict=True):
            self._stroke(start, stop, round(width), ink, dash)
        tip = (end[0] + across * head / 4, end[1] + down * head / 4)
        back = (tip[0] - across * head, tip[1] - down * head)
        sides = [(back[0] - down * turn * head / 2, back[1] + across * turn * head / 2) for turn in (1, -1)]
        self._draw.polygon([tip, *sides], ink)

    def _stroke(
        self, start: tuple[float, float], stop: tuple[float, float], width: int, ink: str, dash: list[float]
    ) -> None:
        across, down = _direction(start, stop)
        length = abs(stop[0] - start[0]) + abs(stop[1] - start[1])
        at, each, gap = 0.0, *(dash or [length, 0.0])
        while at < length:
            until = min(at + each, length)
            points = [(start[0] + across * x, start[1] + down * x) for x in (at, until)]
            self._draw.line(points, ink, width)
            at = until + gap if until + gap > at else length

    def _style(self, mark: ElementTree.Element) -> dict[str, str]:
        """Of its classes together; later ones count."""
        style: dict[str, str] = {}
        for name in mark.get("class", "").split():
            style |= self._styles[name]
        return style


def _declared(rules: str) -> dict[str, str]:
    pairs = (rule.partition(":") for rule in rules.split(";") if ":" in rule)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _corners(path: str, scale: float) -> list[tuple[float, float]]:
    """The corners of a path of straight lines: M, L, H and V."""
    x = y = 0.0
    corners = []
    for letter, numbers in re.findall(r"([MLHV])([^MLHV]*)", path):
        values = [float(number) * scale for number in numbers.split()]
        x = values[0] if letter != "V" else x
        y = values[-1] if letter != "H" else y
        corners.append((x, y))
    return corners


def _direction(start: tuple[float, float], stop: tuple[float, float]) -> tuple[float, float]:
    """Of a line along an axis."""
    across, down = stop[0] - start[0], stop[1] - start[1]
    length = max(abs(across), abs(down)) or 1.0
    return across / length, down / length

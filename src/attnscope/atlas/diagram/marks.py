"""What drawings are made of: colours, letters, lines and arrows of SVG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby

SCALE_TINTS = ("#dcebfb", "#c4e3dc", "#e3dcf5", "#fbe3c8", "#f6d5dc")  # one tint per level, finest first
SELF, CROSS = "#2563ab", "#d4681c"
TO_IMAGE, AMONG_TEXT, OTHER = "#f0b98d", "#8a6fb8", "#9aa7b3"
INK, SOFT, LINE = "#1b2733", "#5b6773", "#8b98a5"
EMPTY, EDGE = "#f7f8f9", "#c3cad1"  # a unit without attention
TITLE = 34  # px
_LETTER = 0.62  # width of a letter of a title, in its size
STYLE = f"""
  text {{ font-family: "Inter", "Helvetica Neue", Arial, "DejaVu Sans", sans-serif; fill: {INK}; }}
  .title {{ font-size: {TITLE}px; font-weight: 700; }}
  .subtitle {{ font-size: 21px; fill: {SOFT}; }}
  .number {{ font-size: 32px; font-weight: 700; text-anchor: middle; }}
  .many {{ font-size: 18px; }}
  .range {{ font-size: 44px; font-weight: 700; }}
  .plain {{ font-size: 16px; fill: {SOFT}; text-anchor: middle; }}
  .end {{ font-size: 18px; fill: {SOFT}; text-anchor: middle; }}
  .path {{ font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: 14px; fill: {SOFT}; }}
  .grid {{ font-size: 30px; font-weight: 700; text-anchor: middle; }}
  .facts {{ font-size: 21px; fill: {SOFT}; text-anchor: middle; }}
  .source {{ font-size: 24px; font-weight: 700; text-anchor: middle; }}
  .label {{ font-size: 21px; }}
  .caption {{ font-size: 18px; fill: {SOFT}; text-anchor: middle; }}
  .flow {{ stroke: {INK}; stroke-width: 2; fill: none; marker-end: url(#arrow); }}
  .skip {{ stroke: {LINE}; stroke-width: 1.8; stroke-dasharray: 6 6; fill: none; marker-end: url(#soft); }}
"""


def page(heading: str, width: float, height: float, marks: Iterable[str]) -> str:
    """A whole SVG file.

    Args:
        heading: What is drawn.
        width: In pixels.
        height: In pixels.
        marks: What is on it.
    """
    body = "\n".join(marks)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" role="img">\n'
        f"<title>Attention blocks of {escape(heading)}</title>\n<style>{STYLE}</style>\n"
        f"<defs>{_arrow('arrow', INK)}{_arrow('soft', LINE)}</defs>\n"
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def text(style: str, x: float, y: float, words: str) -> str:
    """A line of text.

    Args:
        style: Its class in `STYLE`.
        x: Where it begins, or its middle.
        y: The line that letters stand on.
        words: The text.
    """
    return f'<text class="{style}" x="{x:g}" y="{y:g}">{escape(words, quote=False)}</text>'


def fitted(words: str, width: float, size: float) -> str:
    """A line of text, cut with an ellipsis where it would be too wide.

    Args:
        words: The text.
        width: The most that it may take.
        size: Size of its letters.
    """
    most = int(width / (_LETTER * size))
    return words if len(words) <= most else f"{words[: most - 1]}…"


def line(style: str, x1: float, y1: float, x2: float, y2: float) -> str:
    """A straight line with an arrow at its end.

    Args:
        style: Its class in `STYLE`.
        x1: Its beginning.
        y1: Its beginning.
        x2: Its end.
        y2: Its end.
    """
    return f'<path class="{style}" d="M{x1:g} {y1:g} L{x2:g} {y2:g}"/>'


def box(
    x: float, y: float, width: float, height: float, fill: str, *, edge: str = "", round_px: float = 9
) -> str:
    """A box with round corners.

    Args:
        x: Its left.
        y: Its top.
        width: Its width.
        height: Its height.
        fill: Its colour.
        edge: Colour of its edge, '' without one.
        round_px: Radius of its corners.
    """
    stroke = f' stroke="{edge}" stroke-width="1.5"' if edge else ""
    place = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"'
    return f'<rect {place} rx="{round_px:g}" fill="{fill}"{stroke}/>'


def times(height: int, width: int) -> str:
    """A size as it is written in drawings.

    Args:
        height: The first number.
        width: The second.
    """
    return f"{height} × {width}"


def spans(numbers: Sequence[int]) -> str:
    """Numbers with runs as '5–10'.

    Args:
        numbers: In ascending order.
    """
    runs = (list(run) for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]))
    return ", ".join(str(run[0][1]) if len(run) == 1 else f"{run[0][1]}–{run[-1][1]}" for run in runs)


def _arrow(name: str, colour: str) -> str:
    return (
        f'<marker id="{name}" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="5.5" markerHeight="5.5" '
        f'orient="auto-start-reverse"><path d="M0 0 L8 4 L0 8 z" fill="{colour}"/></marker>'
    )

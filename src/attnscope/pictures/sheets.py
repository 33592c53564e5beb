"""Sheets: pictures side by side with captions, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from attnscope.pictures.fonts import Face, Font, face_of
from attnscope.pictures.lettering import fitted_line

PAPER, INK, SOFT = "#ffffff", "#1b2733", "#5b6773"
TILE_PX = 256
_GAP_PX, _MARGIN_PX = 18, 28
_CAPTION_PX, _NOTE_PX = 17, 14


@dataclass(frozen=True)
class Tile:
    """A picture with a caption and a smaller note under it.

    Attributes:
        picture: The picture.
        caption: The caption.
        note: The note.
    """

    picture: Image.Image
    caption: str
    note: str = ""


def tile_row(tiles: Sequence[Tile], *, tile_px: int = TILE_PX, columns: int | None = None) -> Image.Image:
    """Tiles in rows, all scaled into squares.

    Args:
        tiles: The tiles.
        tile_px: Side of the squares in pixels.
        columns: Tiles in a row. None: one row.
    """
    columns = columns or len(tiles)
    rows = -(-len(tiles) // columns)
    height_px = tile_px + _CAPTION_PX + _NOTE_PX + 22
    sheet = Image.new(
        "RGB", (columns * (tile_px + _GAP_PX) - _GAP_PX, rows * (height_px + _GAP_PX) - _GAP_PX), PAPER
    )
    for i, tile in enumerate(tiles):
        left, top = (i % columns) * (tile_px + _GAP_PX), (i // columns) * (height_px + _GAP_PX)
        _draw_tile(sheet, tile, left, top, tile_px)
    return sheet


def stacked(title: str, subtitle: str, parts: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    """A page: a title, then each part under its heading.

    Args:
        title: The title; '' for none.
        subtitle: A smaller line under the title.
        parts: (heading, picture) of each part.
    """
    width_px = max(part.width for _, part in parts) + 2 * _MARGIN_PX
    head_px, heading_px = (92 if title else _MARGIN_PX), 40
    height_px = head_px + sum(part.height + (heading_px if text else 0) + _MARGIN_PX for text, part in parts)
    page = Image.new("RGB", (width_px, height_px), PAPER)
    draw = ImageDraw.Draw(page)
    if title:
        write(draw, (_MARGIN_PX, 22), title, width_px - 2 * _MARGIN_PX, 30, INK)
        write(draw, (_MARGIN_PX, 60), subtitle, width_px - 2 * _MARGIN_PX, 16, SOFT)
    top = head_px
    for text, part in parts:
        if text:
            write(draw, (_MARGIN_PX, top + 6), text, width_px - 2 * _MARGIN_PX, 20, INK)
            top += heading_px
        page.paste(part, (_MARGIN_PX, top))
        top += part.height + _MARGIN_PX
    return page


def font(size_px: int, text: str = "") -> Font:
    """Pillow's own font, so that a sheet looks the same everywhere; a system font for text that it lacks.

    Args:
        size_px: Size in pixels.
        text: What will be written.
    """
    return (face_of(text) or Face()).at(size_px)


def fitted(text: str, width_px: int, size_px: int) -> str:
    """A text, cut with an ellipsis if it would be too wide.

    Args:
        text: The text.
        width_px: The most that it may take, in pixels.
        size_px: Size of the font in pixels.
    """
    return fitted_line(text, width_px, size_px).text


def write(
    draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, width_px: int, size_px: int, ink: str
) -> None:
    """Write one line of text, cut if it would be too wide.

    Args:
        draw: Where to draw.
        place: (x, y) in pixels.
        text: The text.
        width_px: The most that it may take, in pixels.
        size_px: Size of the font in pixels.
        ink: Its colour.
    """
    fitted_line(text, width_px, size_px).draw(draw, place, ink)


def _draw_tile(sheet: Image.Image, tile: Tile, left: int, top: int, tile_px: int) -> None:
    scale = tile_px / max(tile.picture.size)
    size = (max(1, round(tile.picture.width * scale)), max(1, round(tile.picture.height * scale)))
    picture = tile.picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    sheet.paste(picture, (left + (tile_px - size[0]) // 2, top + (tile_px - size[1]) // 2))
    draw = ImageDraw.Draw(sheet)
    text_top = top + tile_px + 6
    write(draw, (left, text_top), tile.caption, tile_px, _CAPTION_PX, INK)
    write(draw, (left, text_top + _CAPTION_PX + 5), tile.note, tile_px, _NOTE_PX, SOFT)

"""Texts, numbers and pictures as markup."""

from __future__ import annotations

import base64
import io
import unicodedata
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

_NO_TEXT = {"Cc", "Cs"}


def text(value: object) -> str:
    """Text as markup. Characters that a page can't hold stand as Python writes them.

    Args:
        value: The text.
    """
    shown = "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in _NO_TEXT else char
        for char in str(value).replace("\n", " ").replace("\t", " ")
    )
    return escape(shown).replace(" %", "\u00a0%")


def foreign(value: object) -> str:
    """A text from the run, such as a word, whose direction does not touch what stands beside it.

    Args:
        value: The text.
    """
    return f"<bdi>{text(value)}</bdi>"


def picture(image: Image, caption: str, side_px: int) -> str:
    """A picture inside the page.

    Args:
        image: The picture.
        caption: What it shows, for those who do not see it.
        side_px: Its longer side at most.
    """
    small = image.convert("RGB")
    small.thumbnail((side_px, side_px))
    body = io.BytesIO()
    small.save(body, format="WEBP", quality=86)
    data = base64.b64encode(body.getvalue()).decode()
    return (
        f'<img src="data:image/webp;base64,{data}" width="{small.width}" height="{small.height}" '
        f'alt="{text(caption)}">'
    )


def section(title: str, lead: str, body: Iterable[str]) -> str:
    """A part of the page.

    Args:
        title: Its heading.
        lead: A sentence or two below that, as markup.
        body: Its content.
    """
    told = f'<p class="lead">{lead}</p>' if lead else ""
    return f"<section><h2>{text(title)}</h2>{told}{''.join(body)}</section>"

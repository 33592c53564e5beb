"""What a file is called that somebody takes along: after the prompt, safe on every system."""

from __future__ import annotations

from urllib.parse import quote

from attnscope.files.names import file_names
from attnscope.viewer.opened import OpenTrace

MOST_LETTERS = 60
"""Of the prompt; a longer one is cut between words."""


def file_name(opened: OpenTrace, image: int, *parts: str, ending: str) -> str:
    """A name such as a-red-house.gif.

    Args:
        opened: The trace.
        image: Which picture of the batch, after whose prompt it is called; without one after the trace.
        parts: What else is in it, such as a word.
        ending: With its dot.
    """
    prompts = opened.trace.run.prompts
    prompt = prompts[image].strip() if image < len(prompts) else ""
    title = _cut(prompt) or opened.name.removesuffix(".trace")
    numbered = f"{title} {image + 1}" if opened.trace.images > 1 else title
    (name, *others) = (file_names([part])[0] for part in (numbered, *parts))
    return ".".join((name, *others)) + ending


def attachment(name: str) -> dict[str, str]:
    """The header with which a browser saves an answer under a name.

    Args:
        name: The file's; letters beyond ASCII are written as RFC 6266 says.
    """
    plain = "".join(
        letter if letter.isascii() and letter.isprintable() and letter not in '"\\%' else "_"
        for letter in name
    )
    return {
        "content-disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
    }


def _cut(text: str) -> str:
    if len(text) <= MOST_LETTERS:
        return text
    start = text[: MOST_LETTERS + 1]
    return start.rsplit(None, 1)[0] if len(start.split()) > 1 else text[:MOST_LETTERS]

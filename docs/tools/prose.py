"""What our docstrings have beyond Google's sections, as Markdown: lines of cost and source, and doctests."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_LINE = re.compile(r"^(Cost|Source): ", re.MULTILINE)
_DOCTEST = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)


class Prose(Extension):
    """Rewrites docstrings for the site; in Python they stay as they are written."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        if obj.docstring is not None:
            text = _LINE.sub(r"\n**\1:** ", obj.docstring.value)
            obj.docstring.value = _DOCTEST.sub(r"```pycon\n\g<0>\n```", text)

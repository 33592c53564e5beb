"""What scores need beside torch."""

from __future__ import annotations

import importlib.util

from attnscope.errors import MissingExtraError


def check_extra(doing: str) -> None:
    """Refuse to begin what could not be scored.

    Args:
        doing: What scores, as the message's first words.

    Raises:
        MissingExtraError: scipy is not installed.
    """
    if importlib.util.find_spec("scipy") is None:
        raise MissingExtraError(f"{doing} needs scipy: pip install 'attnscope[segment]'")

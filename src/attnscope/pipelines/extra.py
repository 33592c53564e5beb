"""Whether what pipelines need is installed."""

from __future__ import annotations

import importlib.util

from attnscope.errors import MissingExtraError


def check_extra(doing: str) -> None:
    """Refuse what needs diffusers and transformers where they are missing.

    Args:
        doing: What needs them, as the message's first words.

    Raises:
        MissingExtraError: One of them is not installed.
    """
    missing = [
        package for package in ("diffusers", "transformers") if importlib.util.find_spec(package) is None
    ]
    if missing:
        raise MissingExtraError(f"{doing} needs {' and '.join(missing)}: pip install 'attnscope[pipelines]'")

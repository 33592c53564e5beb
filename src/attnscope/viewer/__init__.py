"""The viewer: look at any attention of a trace in a browser (`attnscope view`), or in one file (`attnscope export`).

It works from traces alone; no model, GPU or network is needed. The server needs `pip install "attnscope[viewer]"`, the
file nothing more.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from attnscope.errors import check_extra

if TYPE_CHECKING:
    from attnscope.viewer.app import create_app
    from attnscope.viewer.serving import Viewer, serve

_HOMES = {
    "create_app": "attnscope.viewer.app",
    "Viewer": "attnscope.viewer.serving",
    "serve": "attnscope.viewer.serving",
}

__all__ = ["Viewer", "create_app", "serve"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'attnscope.viewer' has no attribute {name!r}")
    check_extra("the viewer", "viewer")
    return getattr(importlib.import_module(_HOMES[name]), name)

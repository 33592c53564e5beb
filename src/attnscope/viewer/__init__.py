"""The viewer: look at any attention of a trace in a browser (`attnscope view`), or in one file (`attnscope export`).

It works from traces alone; no model, GPU or network is needed. The server needs `pip install "attnscope[viewer]"`, the
file nothing more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attnscope.errors import check_extra
from attnscope.lazily import lazily

if TYPE_CHECKING:
    from attnscope.viewer.app import create_app
    from attnscope.viewer.serving import Viewer, serve

_HOMES = {
    "create_app": "app",
    "Viewer": "serving",
    "serve": "serving",
}

__all__ = ["Viewer", "create_app", "serve"]

_attribute, __dir__ = lazily(__name__, _HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        check_extra("the viewer", "viewer")
    return _attribute(name)

"""The viewer: look at any attention of a trace in a browser (`attnscope view`), or in one file (`attnscope export`).

It works from traces alone; no model, GPU or network is needed. `pip install "attnscope[viewer]"`.
"""

from __future__ import annotations

from attnscope.errors import missing_extra

try:
    import fastapi  # noqa: F401 (asked for here, where it can be said what is missing)
    import uvicorn  # noqa: F401
except ImportError as error:
    raise missing_extra("the viewer", "FastAPI and uvicorn", "viewer") from error

from attnscope.viewer.app import create_app
from attnscope.viewer.serving import Viewer, serve

__all__ = ["Viewer", "create_app", "serve"]

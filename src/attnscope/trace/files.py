"""A trace from disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attnscope.errors import TraceFormatError
from attnscope.records.reduced import ReducedMaps
from attnscope.storage.folder import TraceFolder
from attnscope.storage.manifest import MANIFEST
from attnscope.storage.reduced_maps import read_reduced
from attnscope.trace.trace import Trace


def load_trace(folder: str | Path) -> Trace:
    """A trace from disk; neither model nor GPU is needed. Tensors are read by memory map, when asked for.

    Raises TraceFormatError for a folder that is no trace, is damaged or has another format version.
    """
    opened = TraceFolder.open(folder)
    opened.manifest.run.pictures = [_read_picture(opened.folder / name) for name in opened.manifest.pictures]
    trace = Trace(opened, opened.manifest.run)
    trace.reduced = _read_reduced(opened)
    return trace


def _read_reduced(opened: TraceFolder) -> dict[str, ReducedMaps]:
    try:
        return read_reduced(opened.folder, opened.manifest.reduced)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, TraceFormatError):
            raise
        where = opened.folder / MANIFEST
        raise TraceFormatError(f"{where}: damaged: {type(error).__name__} {error}") from error


def _read_picture(path: Path) -> Any:
    from attnscope.pictures.reading import load_picture

    if not path.is_file() or path.is_symlink():
        raise TraceFormatError(f"{path}: the trace names this picture, but it is missing or a link")
    return load_picture(path)

"""A trace from disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from attnscope.errors import ImageError, ParameterError, TraceFormatError
from attnscope.files.temporary import tidy
from attnscope.storage.folder import FolderRecords, TraceFolder
from attnscope.storage.manifest import MANIFEST
from attnscope.trace.contents import Pass
from attnscope.trace.trace import Trace

TraceSource = Trace | str | Path
"""A trace, or the path of its folder."""


def load_trace(folder: str | Path, *, verify: bool = True) -> Trace:
    """Open a trace from disk. It needs neither the model nor a GPU, and reads tensors only when they are asked for.

    Args:
        folder: As `trace.save` or `capture(where=...)` wrote it; or a folder that holds one as run.trace.
        verify: Compare a tensor's checksum when it is first read.

    Raises:
        TraceFormatError: The folder is no trace, is damaged, or has another format version. Damage to Q and K
            is found when they are first read; `attnscope info --verify` reads all of them.

    Cost: the manifest and the headers. A first read with its check takes 0.15 ms a megabyte more than without.
    """
    opened = TraceFolder.open(trace_folder(folder), verify=verify)
    return Trace(*(_as_pass(records) for records in opened.passes))


def as_trace(source: TraceSource) -> Trace:
    """A trace, or the one in a folder: what every function that asks a trace takes.

    Args:
        source: A trace, or the path of its folder as for `load_trace`.

    Raises:
        ParameterError: It is neither.
        TraceFormatError: The folder is no trace.
    """
    if isinstance(source, Trace):
        return source
    if isinstance(source, (str, Path)):
        return load_trace(source)
    raise ParameterError(
        f"expected a trace, from `with capture(pipe) as trace:`, or the folder of one; got a {type(source).__name__}"
    )


def trace_folder(folder: str | Path) -> Path:
    """The folder itself, or run.trace in a folder that `attnscope generate` or `attnscope demo` wrote.

    Args:
        folder: A trace, or a folder that may hold one.
    """
    path = Path(folder)
    if os.path.exists(path / MANIFEST):  # noqa: PTH110 - False where nobody may look, which opening it says
        return path
    tidy(path)
    inside = path / "run.trace"
    return inside if os.path.isdir(inside) else path  # noqa: PTH112


def _as_pass(records: FolderRecords) -> Pass:
    run, folder = records.manifest.run, records.folder
    run.pictures = [_read_picture(folder / name) for name in records.manifest.pictures]
    return Pass(records, run, records.reduced())


def _read_picture(path: Path) -> Any:
    from attnscope.pictures.reading import load_picture

    if not path.is_file() or path.is_symlink():
        raise TraceFormatError(f"{path}: the trace names this picture, but it is missing or a link")
    try:
        return load_picture(path)
    except ImageError as error:
        raise TraceFormatError(f"{path}: damaged: {error}") from error

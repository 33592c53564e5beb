"""A trace from disk."""

from __future__ import annotations

import os
from pathlib import Path

from attnscope.errors import ParameterError
from attnscope.files.temporary import tidy
from attnscope.storage.folder import TraceFolder
from attnscope.storage.folder_records import FolderRecords
from attnscope.storage.manifest import MANIFEST
from attnscope.storage.pictures import StoredPictures
from attnscope.storage.previews import StoredPreviews
from attnscope.trace.contents import Pass
from attnscope.trace.trace import Trace

TraceSource = Trace | str | Path
"""A trace, or the path of its folder."""


def load_trace(folder: str | Path, *, verify: bool = True) -> Trace:
    """Open a trace from disk. It needs neither the model nor a GPU, and reads tensors only when they are asked for.

    Args:
        folder: As `trace.save` or `capture(where=...)` wrote it; or a folder that holds one as run.trace.
        verify: Compare digests: the manifest's now, a tensor's, a map's or a picture's when it is first read.

    Raises:
        TraceFormatError: The folder is no trace, is damaged, or has another format version. Damage to Q and K
            is found when they are first read; `attnscope info --verify` reads all of them.

    Cost: the manifest and the headers. A check at first read takes 0.03 ms a megabyte, with `verify` or without.
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
    if os.path.lexists(path / MANIFEST):  # False where nobody may look, which opening it says
        return path
    tidy(path)
    inside = path / "run.trace"
    return inside if os.path.isdir(inside) else path  # noqa: PTH112


def files_of(trace: Trace) -> list[Path]:
    """The files of a trace from disk: its manifest, and those that it names. Nothing else in the folder counts.

    Args:
        trace: A trace; one in memory has none.
    """
    passes = [of_pass.records for of_pass in trace.passes]
    folders = [records for records in passes if isinstance(records, FolderRecords)]
    manifests = [records.folder / MANIFEST for records in folders[:1]]
    return [*manifests, *(path for records in folders for path in records.files)]


def _as_pass(records: FolderRecords) -> Pass:
    run, manifest = records.manifest.run, records.manifest
    run.pictures = StoredPictures(records.folder, manifest.pictures)
    run.previews = StoredPreviews(records.folder, manifest.prefix, manifest.previews)
    return Pass(records, run, records.reduced())

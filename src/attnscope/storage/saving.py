"""A trace that is there already, saved as a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from attnscope.errors import OutputError
from attnscope.files import explained, is_empty_folder, whole_folder
from attnscope.files.temporary import tidy
from attnscope.records import Run
from attnscope.records.reduced import ReducedMaps
from attnscope.storage.folder import TraceFolder
from attnscope.storage.manifest import MANIFEST
from attnscope.storage.memory import Records, all_of_call
from attnscope.storage.shard_headers import FORMAT

Pass = tuple[Records, Run, Mapping[str, ReducedMaps]]
"""What is saved of a pass: its records, its run, its reduced maps."""


def is_trace(folder: Path) -> bool:
    """Whether a folder is a trace, whole or damaged, which may be replaced. Other programs have manifests, too.

    Args:
        folder: A folder.
    """
    path = folder / MANIFEST
    return path.is_file() and FORMAT.encode() in path.read_bytes()[:100]


def check_replaceable(folder: Path, *, remedy: str = "choose another name") -> None:
    """Refuse to replace anything but a trace or an empty folder.

    Args:
        folder: Where a trace is to be.
        remedy: What the error says to do.

    Raises:
        OutputError: There is something else, or nobody may look.
    """
    with explained(folder):
        tidy(folder.parent)
        tidy(folder)
        if folder.exists() and not is_empty_folder(folder) and not is_trace(folder):
            raise OutputError(f"{folder} is not a trace: it is left alone; {remedy}")


def save_passes(passes: Sequence[Pass], folder: str | Path, *, overwrite: bool = False) -> Path:
    """Write all that a trace holds as a folder, whole or not at all, and return its path.

    Args:
        passes: What there is of each pass.
        folder: Where to write.
        overwrite: Replace an older trace. Anything else that is there is left alone.

    Raises:
        OutputError: Something is there already, or the folder can't be written.
    """
    target = Path(folder)
    if overwrite:
        check_replaceable(target)
    with whole_folder(target, overwrite=overwrite) as partial:
        trace = TraceFolder(partial)
        for records, run, reduced in passes:
            written = trace.begin_pass(run)
            written.manifest.layers = dict(records.layers)
            written.manifest.outputs = dict(records.outputs)
            written.keep_projections(records.projections)
            for call in records.calls:
                written.add_call(call, *all_of_call(records, call))
            written.finish(reduced)
    return target

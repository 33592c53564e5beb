"""Traces that somebody brings: a folder, file by file, or one zip. Nothing of a name or a size is believed."""

from __future__ import annotations

import re
import secrets
import shutil
import threading
import time
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from attnscope.errors import BusyError, OutputError, ParameterError, SelectionError
from attnscope.files.temporary import remove_folder, temporary_folder

MOST_BYTES = 8 * 2**30
"""Of one trace."""
MOST_FILES = 20_000
MOST_OPEN = 4
"""Traces that are under way at a time."""
PATIENCE_S = 3600
"""After which one that nobody goes on with is given up."""
LEAST_FREE_BYTES = 2**30
"""Of the disk, which are left free."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_PIECE = 2**20


@dataclass
class Upload:
    """A trace under way.

    Attributes:
        folder: Of its files so far.
        taken: Bytes so far.
        files: Names so far.
        touched: When the last of it came.
    """

    folder: Path
    taken: int = 0
    files: set[str] = field(default_factory=set)
    touched: float = field(default_factory=time.monotonic)


class Uploads:
    """Traces under way, each in a folder beside the runs until it is whole.

    Args:
        place: The folder of the runs.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self._open: dict[str, Upload] = {}
        self._lock = threading.Lock()

    def begin(self) -> str:
        """A new one, by the name that its files are sent to.

        Raises:
            BusyError: Too many are under way.
            OSError: The folder can't be made.
        """
        with self._lock:
            self._forget_old()
            if len(self._open) >= MOST_OPEN:
                raise BusyError(
                    f"{MOST_OPEN} traces are being sent already: try again when they have arrived"
                )
            self._place.mkdir(parents=True, exist_ok=True)
            key = secrets.token_hex(16)
            self._open[key] = Upload(Path(temporary_folder(str(self._place))))
            return key

    def end(self, key: str) -> Path:
        """The folder of a trace that is there; whoever takes it moves or removes it.

        Args:
            key: From `begin`.

        Raises:
            SelectionError: There is none.
        """
        self[key]
        with self._lock:
            return self._open.pop(key).folder

    def __getitem__(self, key: str) -> Upload:
        """One that is under way.

        Raises:
            SelectionError: There is none.
        """
        with self._lock:
            self._forget_old()
            if key not in self._open:
                raise SelectionError("this upload is unknown or was abandoned: start again")
            return self._open[key]

    def close(self) -> None:
        """Remove everything that is under way."""
        with self._lock:
            for upload in self._open.values():
                remove_folder(upload.folder)
            self._open.clear()

    async def take(self, key: str, name: str, pieces: AsyncIterator[bytes]) -> None:
        """Write one file of a trace. One that does not come whole ends the upload.

        Args:
            key: From `begin`.
            name: Of the file.
            pieces: Its contents.

        Raises:
            SelectionError: The upload is not known.
            ParameterError: The name is none that a trace's file has, came already, or all of it is too large.
            OutputError: The disk is full.
        """
        upload = self[key]
        if not _NAME.fullmatch(name) or name in upload.files:
            raise ParameterError(f"{name[:80]!r} is not a file of a trace, or was sent twice")
        if len(upload.files) >= MOST_FILES:
            raise ParameterError(f"the folder has more than {MOST_FILES} files: a trace has fewer")
        upload.files.add(name)
        try:
            await _write(upload, upload.folder / name, pieces)
        except BaseException:
            remove_folder(self.end(key))
            raise

    async def take_zip(self, pieces: AsyncIterator[bytes]) -> Path:
        """Unpack a trace that comes as one zip, and return its folder.

        Args:
            pieces: The zip.

        Raises:
            ParameterError: It is no zip of a trace's files, or too large.
            OutputError: The disk is full.
            BusyError: Too much is under way.
        """
        key = self.begin()
        upload = self[key]
        packed = upload.folder / "trace.zip"
        try:
            await _write(upload, packed, pieces)
            await run_in_threadpool(_unpack, packed, upload.folder)
        except BaseException:
            remove_folder(self.end(key))
            raise
        return self.end(key)

    def _forget_old(self) -> None:
        for key, upload in list(self._open.items()):
            if time.monotonic() - upload.touched > PATIENCE_S:
                remove_folder(self._open.pop(key).folder)


async def _write(upload: Upload, path: Path, pieces: AsyncIterator[bytes]) -> None:
    with path.open("xb") as file:
        async for piece in pieces:
            upload.taken, upload.touched = upload.taken + len(piece), time.monotonic()
            if upload.taken > MOST_BYTES:
                raise ParameterError(
                    f"the trace has more than {MOST_BYTES // 2**30} GiB: it is too large to send"
                )
            check_room(upload.folder)
            await run_in_threadpool(file.write, piece)


def check_room(folder: Path) -> None:
    """Refuse to fill a disk.

    Args:
        folder: On it.

    Raises:
        OutputError: Hardly anything is free.
    """
    if shutil.disk_usage(folder).free < LEAST_FREE_BYTES:
        raise OutputError("the disk of this machine is full: delete runs that are not needed")


def _unpack(packed: Path, folder: Path) -> None:
    """The files of a zip that lie in its one folder, or beside each other; nothing else is taken."""
    try:
        with zipfile.ZipFile(packed) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if not entries or len(entries) > MOST_FILES:
                raise ParameterError(f"the zip has {len(entries)} files; expected those of one trace")
            if len({entry.filename.rpartition("/")[0] for entry in entries}) > 1:
                raise ParameterError("the zip has files in several folders; expected those of one trace")
            if sum(entry.file_size for entry in entries) > MOST_BYTES:
                raise ParameterError(f"the trace has more than {MOST_BYTES // 2**30} GiB: it is too large")
            for entry in entries:
                _unpack_file(archive, entry, folder)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise ParameterError(f"the zip can't be read: {error}") from error
    packed.unlink()


def _unpack_file(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> None:
    name = entry.filename.rpartition("/")[2]
    if not _NAME.fullmatch(name) or (folder / name).exists():
        raise ParameterError(f"the zip has a file {name[:80]!r}, which no trace has")
    left = entry.file_size
    with archive.open(entry) as source, (folder / name).open("xb") as target:
        while piece := source.read(_PIECE):
            left -= len(piece)
            if left < 0:
                raise ParameterError(f"{name} in the zip is larger than it says")
            check_room(folder)
            target.write(piece)

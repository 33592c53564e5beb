"""Traces on disk: a manifest and one safetensors shard a call of the model (docs/trace-format.md)."""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path

from attnscope.errors import TraceFormatError
from attnscope.files import check_free, missing_folders, remove_empty
from attnscope.files.temporary import tidy
from attnscope.records import Run
from attnscope.storage.folder_records import FolderRecords, RecentRecords
from attnscope.storage.manifest import MANIFEST, PassManifest
from attnscope.storage.manifest_file import read_manifest
from attnscope.storage.plain_files import readable
from attnscope.storage.projections import projections_path
from attnscope.storage.recent import Recent
from attnscope.storage.room import warn_if_disk_is_short

KEPT_BYTES = 192 << 20
"""Of records that were read last: a step of Stable Diffusion, which a viewer looks at from all sides."""


class TraceFolder:
    """Passes in a folder: written call by call, read when they are asked.

    The manifest is written anew after each shard, so the folder opens at any moment.

    Args:
        folder: The trace's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.passes: list[FolderRecords] = []
        self._manifests: list[PassManifest] = []
        self._missing = missing_folders(folder)

    @classmethod
    def create(cls, folder: str | Path, *, temporary: bool = False) -> TraceFolder:
        """A new trace folder. It is made when the first pass begins.

        Args:
            folder: Its path.
            temporary: Nobody needs it once it is empty, although it may be there already.

        Raises:
            OutputError: Something is there already.
        """
        path = Path(folder)
        remedy = "a capture writes into a new folder; choose another name"
        check_free(folders=[path], overwrite=False, remedy=remedy)
        created = cls(path.absolute())  # the run may change its working directory
        created._missing += [path] if temporary else []
        return created

    @classmethod
    def open(cls, folder: str | Path, *, verify: bool = True) -> TraceFolder:
        """An existing trace folder. Its manifest and the headers of its shards are checked.

        Args:
            folder: Its path.
            verify: Compare digests: the manifest's now, a tensor's when it is first read.

        Raises:
            TraceFormatError: The folder is no trace, is damaged, has another format version, or nobody may read it.
        """
        path = Path(folder).absolute()
        tidy(path.parent)
        tidy(path)
        with readable(path):
            if not path.is_dir():
                what = "a file" if path.exists() else "no such folder"
                raise TraceFormatError(
                    f"{folder}: {what}; expected a trace, a folder as `trace.save` writes it"
                )
        opened = cls(path)
        opened._manifests, is_intact = read_manifest(path)
        recent: RecentRecords = Recent(KEPT_BYTES, attrgetter("nbytes"), keeps_newest=True)
        opened.passes = [
            FolderRecords(path, at, opened._manifests, recent, verify) for at in range(len(opened._manifests))
        ]
        for records in opened.passes:
            records.check_headers()
        if verify and not is_intact:  # at the end: whatever else is wrong says more
            raise TraceFormatError(
                f"{path / MANIFEST}: changed since it was written, by damage or by hand; restore it, or read it as it "
                "is with load_trace(folder, verify=False)"
            )
        return opened

    def begin_pass(self, run: Run) -> FolderRecords:
        """Begin a pass, write the manifest that names it, and give the records that it fills.

        Args:
            run: What is known of the pass.
        """
        self._manifests.append(PassManifest(run, len(self.passes)))
        # memory is the model's, as long as it runs: one record
        recent: RecentRecords = Recent(0, attrgetter("nbytes"), keeps_newest=True)
        self.passes.append(FolderRecords(self.folder, len(self.passes), self._manifests, recent))
        self.passes[-1].write_manifest()
        return self.passes[-1]

    def drop_pass(self) -> None:
        """Take away the last pass, its manifest's entry first, then its shards."""
        dropped = self.passes.pop()
        self._manifests.pop()
        dropped.write_manifest()
        for call in dropped.calls:
            (self.folder / dropped.manifest.shard_name(call.index)).unlink(missing_ok=True)
        projections_path(self.folder, dropped.manifest.prefix).unlink(missing_ok=True)

    def expect(self, size: int, steps: int, *, staged: int = 0) -> None:
        """A pass has its first call: look whether the disk has room for all of it.

        Args:
            size: Bytes of a step.
            steps: How many will be kept.
            staged: Page-locked memory that a step's copy from a GPU goes through, in bytes.

        Warns:
            LargeCaptureWarning: It has not.
        """
        warn_if_disk_is_short(self.folder, size * steps)

    def make_room(self, size: int, *, staged: int = 0) -> None:
        """Never waits: one call is held while it is written, whatever its size.

        Args:
            size: Bytes of the call.
            staged: Page-locked memory that its copy from a GPU goes through, in bytes.
        """

    def close(self) -> None:
        """The capture is over. Where it recorded nothing, all is taken away again that it made, and nothing else."""
        if not any(manifest.calls or manifest.reduced for manifest in self._manifests):
            names = [name for manifest in self._manifests for name in manifest.picture_files]
            for name in (*names, MANIFEST) if self._manifests else ():
                (self.folder / name).unlink(missing_ok=True)
            for manifest in self._manifests:
                projections_path(self.folder, manifest.prefix).unlink(missing_ok=True)
            remove_empty(self._missing)

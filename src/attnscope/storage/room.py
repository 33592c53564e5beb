"""How much memory and disk is free. A container's limit counts, and a disk that is memory does not."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
PROC = Path("/proc")
ELSEWHERE = "/var/tmp"  # where temporary files of any size belong, if /tmp is memory
_CHOSEN_BY = ("TMPDIR", "TEMP", "TMP")


class LargeCaptureWarning(UserWarning):
    """A capture does not fit into its share of memory, or on its disk. It says the numbers, and what can be done."""


def in_gb(size: float) -> str:
    """A number of bytes for a message.

    Args:
        size: The number.
    """
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.3g} MB"


def warn_if_disk_is_short(folder: str | Path, needed: int) -> None:
    """Say at a pass's first step that its disk is going to be full.

    Args:
        folder: Where the pass is written.
        needed: Bytes of all its steps.

    Warns:
        LargeCaptureWarning: There is less room.
    """
    if needed > (room := free_disk(folder)):
        warnings.warn(
            f"this capture writes {in_gb(needed)} into {folder}, which has {in_gb(room)} left: name a folder on "
            "another disk (folder=; TMPDIR for temporary ones), or keep less (kind=, blocks=, outputs=, steps=, "
            "branch=, dtype=torch.float16, keep=)",
            LargeCaptureWarning,
            stacklevel=2,
        )


def free_memory() -> int | None:
    """Bytes of memory that this process may still take, None where nothing tells."""
    machine = _meminfo("MemAvailable") or _by_psutil() or _pages("SC_AVPHYS_PAGES") or _pages("SC_PHYS_PAGES")
    known = [free for free in (machine, *(limit - used for limit, used in _limits())) if free is not None]
    return max(0, min(known)) if known else None


def all_memory() -> int | None:
    """Bytes of memory of the machine, or of the container, None where nothing tells."""
    known = [size for size in (_pages("SC_PHYS_PAGES"), *(limit for limit, _ in _limits())) if size]
    return min(known) if known else None


def free_disk(folder: str | Path) -> int:
    """Bytes that files in a folder may still take from the disk, 0 where files are kept in memory.

    Args:
        folder: A folder, which need not exist yet.

    Raises:
        OSError: Nobody may look there.
    """
    path = Path(folder).absolute()
    there = next(parent for parent in (path, *path.parents) if parent.exists())
    return 0 if _is_memory(there) else shutil.disk_usage(there).free


def temporary_place() -> str:
    """Where temporary files of any size may lie: as the user says, else not in memory."""
    usual = tempfile.gettempdir()
    is_chosen = any(os.environ.get(name) for name in _CHOSEN_BY)
    if is_chosen or not _is_memory(Path(usual)) or not os.access(ELSEWHERE, os.W_OK | os.X_OK):
        return usual
    return usual if _is_memory(Path(ELSEWHERE)) else ELSEWHERE


def _is_memory(folder: Path) -> bool:
    """Whether files of a folder are in memory, as Linux tells."""
    device = folder.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}" if hasattr(os, "major") else ""
    mounts = (line.split() for line in _read(PROC / "self/mountinfo").splitlines())
    return any(
        fields[2] == number and fields[fields.index("-") + 1] in ("tmpfs", "ramfs") for fields in mounts
    )


def _limits() -> Iterator[tuple[int, int]]:
    """(bytes allowed, bytes used) of each control group that the process is in. What only caches files is free."""
    for line in _read(PROC / "self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            yield from _groups(CGROUPS, path, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            names = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
            yield from _groups(CGROUPS / "memory", path, *names)


def _groups(root: Path, path: str, limit: str, used: str, cached: str) -> Iterator[tuple[int, int]]:
    """A group and all around it. In a container the path may be that of the host, and only the root is there."""
    group = root / path.strip("/")
    for folder in (group, *(parent for parent in group.parents if parent.is_relative_to(root))):
        allowed, taken = (_read(folder / name).strip() for name in (limit, used))
        if allowed.isdigit() and taken.isdigit():
            found = re.search(rf"^{cached} (\d+)", _read(folder / "memory.stat"), re.MULTILINE)
            yield int(allowed), int(taken) - (int(found[1]) if found else 0)


def _meminfo(name: str) -> int | None:
    found = re.search(rf"^{name}:\s+(\d+) kB", _read(PROC / "meminfo"), re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _by_psutil() -> int | None:
    """macOS and Windows tell it to who asks in C, as psutil does, which comes with accelerate."""
    try:
        return int(import_module("psutil").virtual_memory().available)
    except ImportError:
        return None


def _pages(name: str) -> int | None:
    try:
        return os.sysconf(name) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf, macOS no number of free pages
        return None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""

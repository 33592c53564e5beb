"""Temporary folders that say whose they are, so that those of killed processes can be taken away.

Their names hold `attnscope-HOST-PID-START-RANDOM`: which machine, and which process on it. A folder that is being
replaced goes for a moment into one that begins with `.older`, under its own name; after a kill it is put back.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import secrets
import shutil
import socket
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

ABANDONED_DAYS = 30
"""Without a change for so long, what a process of another machine or another start of this one made is abandoned."""
_OLDER = ".older."
_NAME = re.compile(r"(?:\..*\.)?attnscope-([0-9a-f]{8})-(\d{1,10})-(\d{1,20})-\w{8}", re.DOTALL)
_FROM_STATE_TO_START = 19  # fields of /proc/PID/stat


class Owner(NamedTuple):
    """A process.

    Attributes:
        host: A digest of the machine, its start and its space of process numbers, for containers have their own.
        pid: Its number.
        start: When it began, 0 where the system does not tell.
    """

    host: str
    pid: int
    start: int

    @classmethod
    def current(cls) -> Owner:
        """This process."""
        return cls(_host(), os.getpid(), _state_and_start(os.getpid())[1])

    @classmethod
    def of(cls, name: str) -> Owner | None:
        """Whoever made a temporary folder, None for any other.

        Args:
            name: Its name, without the folder.
        """
        found = _NAME.fullmatch(name)
        return None if found is None else cls(found[1], int(found[2]), int(found[3]))

    def has_ended(self) -> bool | None:
        """Whether the process is no more. None: that can't be told from here."""
        if self.host != _host() or os.name != "posix":  # to ask in this way ends it on Windows
            return None
        try:
            os.kill(self.pid, 0)
        except (ProcessLookupError, OverflowError):
            return True
        except PermissionError:  # it lives, and is somebody else's
            pass
        state, start = _state_and_start(self.pid)
        return state in ("Z", "X") or start not in (0, self.start)

    def __str__(self) -> str:
        return f"attnscope-{self.host}-{self.pid}-{self.start}-"


def temporary_beside(target: Path) -> Path:
    """A free name in the same folder, owned by this process.

    Args:
        target: What is going to be written.
    """
    return target.with_name(f".{target.stem[:24]}.{Owner.current()}{secrets.token_hex(4)}")


def older_beside(target: Path) -> Path:
    """A free name for the folder into which an older one goes while it is replaced.

    Args:
        target: What is replaced.
    """
    return target.with_name(f"{_OLDER}{Owner.current()}{secrets.token_hex(4)}")


def temporary_folder(place: str | None = None) -> str:
    """A new folder, owned by this process.

    Args:
        place: The folder that it is made in. Default: the system's for temporary ones.

    Raises:
        OSError: It can't be made.
    """
    return os.path.realpath(tempfile.mkdtemp(prefix=str(Owner.current()), dir=place))


def tidy(folder: str | Path) -> None:
    """Take away what processes left in a folder that were killed, and put back what they had set aside.

    Args:
        folder: A folder that need not exist. What can't be removed stays.
    """
    with suppress(OSError, ValueError):
        for path in list(Path(folder).iterdir()):
            if (owner := Owner.of(path.name)) is not None and _is_abandoned(path, owner):
                with suppress(OSError):
                    _put_back(path)
                    _remove(path)


def drop_older(folder: Path) -> None:
    """Remove what was set aside, under another name, so that a kill half-way does not bring back the half.

    Args:
        folder: From `older_beside`.
    """
    going = temporary_beside(folder)
    folder.rename(going)
    remove_folder(going)


def remove_folder(folder: Path) -> None:
    """Remove a folder of plain files, also a read-only one. What can't be removed stays, and so do links.

    Args:
        folder: A folder that need not exist.
    """
    if not folder.is_dir() or folder.is_symlink():
        return
    with suppress(OSError):
        folder.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(path: Path, owner: Owner) -> bool:
    ended = owner.has_ended()
    if ended is None:
        return time.time() - path.lstat().st_mtime > ABANDONED_DAYS * 86400
    return ended


def _put_back(path: Path) -> None:
    if path.name.startswith(_OLDER):
        for older in path.iterdir():
            if not os.path.lexists(home := path.with_name(older.name)):
                older.rename(home)


def _remove(path: Path) -> None:
    if path.name.startswith(_OLDER):
        drop_older(path)
    else:
        remove_folder(path)


@functools.cache
def _host() -> str:
    parts = [socket.gethostname()]
    with suppress(OSError):  # there is no such thing beyond Linux
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text("ascii"))
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256(" ".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:8]


def _state_and_start(pid: int) -> tuple[str, int]:
    """Letter of a process's state and when it began; ("", 0) where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return fields[0].decode("ascii"), int(fields[_FROM_STATE_TO_START])
    except (OSError, IndexError, ValueError):
        return "", 0

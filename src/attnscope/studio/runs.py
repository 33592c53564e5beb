"""The runs of a studio: what was asked for, how far each is, and where its files are."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from attnscope.errors import SelectionError
from attnscope.files import explained, whole_file
from attnscope.files.names import file_names
from attnscope.files.temporary import remove_folder
from attnscope.studio.asked import MOST_LETTERS, RunAsked
from attnscope.studio.messages import Seen

FACTS = "run.json"
LONGEST_NAME = 200
MOST_FACTS_BYTES = 4 * 2**20
ENDED = "the studio was ended while this ran"
_FOLDER = re.compile(r"(\d{4,9})(-.*)?")

Kind = Literal["picture", "photo", "trace"]
State = Literal["waiting", "loading", "running", "done", "stopped", "failed"]
OVER: tuple[State, ...] = ("done", "stopped", "failed")


class StoredRun(BaseModel):
    """A run in its folder, run.json. asked: of a picture; text: of a photo. created: seconds since 1970. maker: which
    browser began it, see rules.py."""

    model_config = ConfigDict(extra="ignore")

    kind: Kind
    name: str = Field(max_length=LONGEST_NAME)
    state: State
    asked: RunAsked | None = None
    text: str = Field("", max_length=MOST_LETTERS)
    error: str = ""
    seconds: float | None = None
    created: float = 0.0
    maker: str = Field("", max_length=64)


@dataclass
class Run:
    """A run, from the moment it is asked for.

    Attributes:
        number: By which the browser asks for it.
        folder: Where its files are.
        stored: What is kept of it on disk.
        done: Steps taken.
        total: Steps to take, 0 if unknown yet.
        note: What is said of what is kept of it.
        trace: Number of its trace on the viewer's shelf; None before there is one.
        seen: What there was to see last, while it runs.
    """

    number: int
    folder: Path
    stored: StoredRun
    done: int = 0
    total: int = 0
    note: str = ""
    trace: int | None = None
    seen: Seen | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens to it."""
        return self.stored.state in OVER

    def keep(self) -> None:
        """Write what is known of it into its folder.

        Raises:
            OutputError: It can't be written.
        """
        with whole_file(self.folder / FACTS) as partial:
            partial.write_text(self.stored.model_dump_json(indent=1), "utf-8")


@dataclass
class Runs:
    """All runs of a folder, the newest last.

    Attributes:
        folder: Where each has a folder of its own; made when the first one is.
    """

    folder: Path
    _runs: dict[int, Run] = field(default_factory=dict)
    _last: int = 0

    def __iter__(self) -> Iterator[Run]:
        return iter(list(self._runs.values()))

    def __getitem__(self, number: int) -> Run:
        """A run.

        Raises:
            SelectionError: There is none of this number.
        """
        if number not in self._runs:
            raise SelectionError(f"run {number}: there is none; it may have been deleted")
        return self._runs[number]

    def begin(
        self, kind: Kind, name: str, *, asked: RunAsked | None = None, text: str = "", maker: str = ""
    ) -> Run:
        """A new run with a folder of its own.

        Args:
            kind: What it makes or reads.
            name: What it is called.
            asked: What is asked of a picture.
            text: What is on a photo.
            maker: Which browser begins it.

        Raises:
            OutputError: The folder can't be made.
        """
        number = self._last = max(self._last, *self._runs) + 1 if self._runs else self._last + 1
        name = " ".join(name.split())[:LONGEST_NAME] or "untitled"
        folder = self.folder / f"{number:04d}-{file_names([name])[0][:48].strip('-')}"
        with explained(folder):
            folder.mkdir(parents=True)
        stored = StoredRun(
            kind=kind,
            name=name,
            state="waiting",
            asked=asked,
            text=text,
            created=time.time(),
            maker=maker,
        )
        run = self._runs[number] = Run(number, folder, stored)
        run.keep()
        return run

    def delete(self, number: int) -> None:
        """Delete a run with its files.

        Args:
            number: Its number.

        Raises:
            SelectionError: There is none of this number.
        """
        remove_folder(self[number].folder)
        del self._runs[number]

    def find_earlier(self) -> None:
        """Take up the runs that are in the folder already. What is no run is left alone."""
        for folder in sorted(self.folder.iterdir()) if self.folder.is_dir() else ():
            if (name := _FOLDER.fullmatch(folder.name)) is None:
                continue
            self._last = max(self._last, int(name[1]))  # also of what is damaged: its folder stays
            if (stored := _stored(folder)) is not None:
                if stored.state not in OVER:
                    stored.state, stored.error = "stopped", ENDED
                self._runs.setdefault(int(name[1]), Run(int(name[1]), folder, stored))


def _stored(folder: Path) -> StoredRun | None:
    """What a folder says of its run; None if it is no run's, or damaged."""
    path = folder / FACTS
    try:
        if path.stat().st_size > MOST_FACTS_BYTES:
            return None
        facts: Any = json.loads(path.read_text("utf-8"))
        return StoredRun.model_validate(facts)
    except (OSError, ValueError, RecursionError, ValidationError):
        return None

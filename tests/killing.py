"""Work that is killed at any of its lines, in processes forked for it: `python -m killing CASE FOLDER`.

Reads numbers of lines, or seconds with a decimal point, from stdin and answers each with what the kill left, as JSON.
The first answer is how many lines the work has, counted in the room `files` and in the parts of Python that it uses.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import numpy as np

import attnscope
import attnscope.files as files
from attnscope.errors import AttnscopeError
from attnscope.files.temporary import Owner
from attnscope.storage.folder import TraceFolder
from attnscope.storage.opening import open_store
from attnscope.testing.made_traces import made_trace

COUNTED = (str(Path(attnscope.__file__).parent / "files"), shutil.__file__, tempfile.__file__)


class Case(NamedTuple):
    """What is there before, what is done and killed, and a word for what is there then, or an AssertionError."""

    before: Callable[[Path], object]
    work: Callable[[Path], object]
    after: Callable[[Path], str]


def save_older(folder: Path) -> None:
    OLDER.save(folder / "run.trace")


OLDER, NEWER = made_trace(steps=1), made_trace(steps=2, seed=5)


def whole_steps(folder: Path) -> int:
    """Steps of the trace, all of whose tensors are read and checked; nothing else is beside it or in it."""
    trace = attnscope.load_trace(folder)
    of_calls = [f"call-{step:05d}.safetensors" for step in range(len(trace.steps) + 1)]
    for records in TraceFolder.open(folder).passes:
        list(records.verified())
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert {path.name for path in folder.iterdir()} <= {
        "manifest.json",
        *of_calls,
    }  # one may not be named yet
    return len(trace.steps)


def older_or_newer(folder: Path) -> str:
    return {1: "older", 2: "newer"}[whole_steps(folder / "run.trace")]


def save_newer(folder: Path) -> None:
    NEWER.save(folder / "run.trace", overwrite=True)


def in_two_renames(folder: Path) -> None:
    files._exchanged = lambda one, other: False
    save_newer(folder)


def capture_into(folder: Path) -> None:
    written = TraceFolder.create(folder / "run.trace")
    fill(written.begin_pass(NEWER.run))
    written.close()


def fill(records) -> None:
    records.layers.update(NEWER.records.layers)
    for call in NEWER.records.calls:
        kept = {layer: NEWER.records.get(call.index, layer) for layer in NEWER.records.layers}
        records.add_call(call, kept)
    records.finish({})


def opens_or_is_free(folder: Path) -> str:
    try:
        return f"{whole_steps(folder / 'run.trace')} steps"
    except AttnscopeError:
        NEWER.save(folder / "run.trace")  # a free place, without overwrite
        assert whole_steps(folder / "run.trace") == 2
        return "free"


def write_numbers(folder: Path, value: float = 2.0) -> None:
    with files.whole_file(folder / "map.npy") as partial:
        np.save(partial, np.full((64, 64), value))


def older_or_newer_numbers(folder: Path) -> str:
    numbers = np.load(folder / "map.npy")
    assert len(set(numbers.flat)) == 1
    files.check_free([folder / "another.npy"], overwrite=False)
    assert [path.name for path in folder.iterdir()] == ["map.npy"]
    return {1.0: "older", 2.0: "newer"}[numbers[0, 0]]


def spill(folder: Path) -> None:
    tempfile.tempdir = str(folder)
    store = open_store(None, 25_000)
    fill(store.begin_pass(NEWER.run))
    assert next(folder.rglob("call-00000.safetensors"))
    store.close()


def nothing_is_left(folder: Path) -> str:
    left = any(folder.iterdir())
    tempfile.tempdir = str(folder)
    open_store(None, 25_000).close()
    assert not any(folder.iterdir())
    return "collected" if left else "nothing left"


CASES = {
    "save over a trace": Case(
        save_older, lambda folder: NEWER.save(folder / "run.trace", overwrite=True), older_or_newer
    ),
    "save over a trace, where names can't be exchanged": Case(save_older, in_two_renames, older_or_newer),
    "capture into a folder": Case(lambda folder: None, capture_into, opens_or_is_free),
    "write a file": Case(lambda folder: write_numbers(folder, 1.0), write_numbers, older_or_newer_numbers),
    "spill": Case(lambda folder: None, spill, nothing_is_left),
}


def run_forked(work: Callable[[Path], object], folder: Path, moment: str) -> int:
    """Lines that the work has; -1 if it was killed at the moment, which is a line or a number of seconds."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        lines = Lines(None if "." in moment else int(moment))
        try:
            with lines:
                work(folder)
        finally:
            os.write(writing, str(lines.count).encode())
            os._exit(0)
    os.close(writing)
    if "." in moment:
        time.sleep(float(moment))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reading) as result:
        return -1 if os.WIFSIGNALED(status) else int(result.read())


class Lines:
    """Counts lines that run in the parts that write, and ends the process before the last one. None: counts none."""

    def __init__(self, last: int | None) -> None:
        self.count, self.last = 0, last

    def __enter__(self) -> None:
        if self.last is not None:
            threading.settrace(self._call)
            sys.settrace(self._call)

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _call(self, frame: FrameType, event: str, argument: object) -> Callable | None:
        return self._line if frame.f_code.co_filename.startswith(COUNTED) else None

    def _line(self, frame: FrameType, event: str, argument: object) -> Callable:
        self.count += event == "line"
        if self.count == self.last:
            os.kill(os.getpid(), signal.SIGKILL)
        return self._line


def main(name: str, place: Path) -> None:
    case = CASES[name]
    Owner.current()  # looked up once in a process
    for number, line in enumerate(itertools.chain(["0"], sys.stdin)):
        folder, moment = place / str(number), line.strip()
        folder.mkdir()
        case.before(folder)
        lines = run_forked(case.work, folder, moment)
        try:
            answer = lines if moment == "0" else case.after(folder) if lines < 0 else "ended before"
        except Exception as error:
            answer = f"WRONG: {type(error).__name__}: {error}"
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

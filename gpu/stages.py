"""The stages of `./dev gpu`: what each needs, and how one is run within its limit, in a process of its own."""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gpu.packages import ROOT, missing

PLANNED = 0.95
"""Of a stage's limit, what it is told to take: the rest is for starting and for writing what it has."""
GRACE_S = 5.0
"""Between asking a process to stop and ending it."""
STAGE_GRACE_S = 15.0
"""For a stage: it ends what it has started itself."""
OUT_OF_TIME = 75
"""Exit code of a stage that had not time for everything, and in which nothing failed."""
END_WITH_PARENT = 1  # PR_SET_PDEATHSIG, of Linux
LIBC = ctypes.CDLL(None)


@dataclass(frozen=True)
class Stage:
    """share: of the time, among the stages that are still to come; needs: what it imports."""

    name: str
    module: str
    share: float
    needs: tuple[str, ...]


STAGES = (
    Stage("tests", "gpu.testing", 0.34, ("torch", "pytest", "scipy", "diffusers", "transformers")),
    Stage("timings", "gpu.timing", 0.33, ("torch",)),
    Stage(
        "training", "gpu.training", 0.33, ("torch", "diffusers", "transformers", "sklearn", "scipy", "rich")
    ),
)


@dataclass(frozen=True)
class Outcome:
    """How a stage ended. why: what was missing or went wrong."""

    stage: str
    outcome: Literal["done", "failed", "out of time", "skipped"]
    seconds: float
    why: str = ""

    def __str__(self) -> str:
        return f"{self.stage:<10} {self.outcome:<12} {self.seconds:6.0f} s  {self.why}".rstrip()


def run_stage(stage: Stage, out: Path, limit_s: float, options: Sequence[str]) -> Outcome:
    """Run a stage for at most limit_s; what it prints goes to out/NAME.log and on to the console."""
    if lacking := missing(stage.needs):
        return Outcome(stage.name, "skipped", 0.0, f"not installed: {', '.join(lacking)}")
    began = time.monotonic()
    planned_s = PLANNED * limit_s
    command = ["-m", stage.module, "--out", str(out), "--seconds", f"{planned_s:.0f}", *options]
    code = run_logged(command, limit_s, out / f"{stage.name}.log", grace_s=STAGE_GRACE_S)
    seconds = time.monotonic() - began
    if code is None:
        return Outcome(
            stage.name, "out of time", seconds, f"stopped after {limit_s:.0f} s; what it had is in {out}"
        )
    if code == OUT_OF_TIME:
        return Outcome(stage.name, "out of time", seconds, f"nothing failed: see {stage.name}.log and .json")
    if code:
        return Outcome(stage.name, "failed", seconds, f"exit code {code}: see {stage.name}.log and .json")
    return Outcome(stage.name, "done", seconds)


def run_logged(
    arguments: Sequence[str], limit_s: float, log: Path | None = None, *, grace_s: float = GRACE_S
) -> int | None:
    """Python with these arguments, its output shown and added to a file; its exit code, or None if it was stopped."""
    process = subprocess.Popen(
        [sys.executable, "-u", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=_begin_group,
    )
    reader = threading.Thread(target=_copy_lines, args=(process, log), daemon=True)
    reader.start()
    try:
        return process.wait(timeout=max(0.0, limit_s))
    except subprocess.TimeoutExpired:
        return None
    finally:
        _end(process, grace_s)
        reader.join(GRACE_S)
        if process.stdout is not None and not reader.is_alive():  # closing waits for who reads
            process.stdout.close()


def _begin_group() -> None:
    """In the new process: a group that can be ended as a whole, and that ends if its parent is killed."""
    os.setpgid(0, 0)
    if hasattr(LIBC, "prctl"):
        LIBC.prctl(END_WITH_PARENT, signal.SIGKILL)


def stage_options(description: str) -> argparse.Namespace:
    """What every stage is told: --out, --seconds, ...; from here on it ends what it has started."""
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--rehearse", action="store_true")
    parser.add_argument("--resume", action="store_true")
    given = parser.parse_args()
    stop_when_asked()
    return given


def stop_when_asked() -> None:
    """Leave by an exception where this process is asked to end, so that it ends what it has started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def _copy_lines(process: subprocess.Popen[bytes], log: Path | None) -> None:
    with log.open("ab") if log else nullcontext() as file:
        for line in process.stdout or ():
            sys.stdout.buffer.write(line)
            sys.stdout.flush()
            if file is not None:
                file.write(line)
                file.flush()


def _end(process: subprocess.Popen[bytes], grace_s: float) -> None:
    """End a process and all that it has started; nothing is left on the card."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
            process.wait(timeout=grace_s)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue

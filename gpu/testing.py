"""The stage `tests`: everything marked gpu, a process for each file, so that a crash takes one file with it."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gpu.packages import ROOT
from gpu.progress import write_json
from gpu.stages import run_logged, stage_options

MARK = "pytest.mark.gpu"
PYTEST = [
    "-m",
    "pytest",
    "-p",
    "gpu.testing",
    "-o",
    "filterwarnings=default",
    "-o",
    "faulthandler_timeout=100",
    "-ra",
]
"""Stacks of tests that take over 100 s are shown. Warnings are no errors there: the versions are the machine's."""
LOST = "CUDA error"
REPORT = "ATTNSCOPE_GPU_TESTS"  # names the file that pytest's process adds its results to
REHEARSAL = "ATTNSCOPE_GPU_REHEARSAL"
CASES = ROOT / "tests" / "triton_kernel_cases.py"
"""What else the kernels must give; on a CPU a test of its own runs them."""
INTERPRETED = (
    "test_kernels.py"  # in a rehearsal, by Triton's interpreter, which is too slow for more than that
)


def files() -> list[Path]:
    """Test files with tests for a GPU."""
    return sorted(path for path in (ROOT / "tests").rglob("test_*.py") if MARK in path.read_text("utf-8"))


def pytest_runtest_logreport(report: Any) -> None:
    """Called by pytest, whose plugin this module is: add a test's outcome to the stage's results."""
    if report.when == "call" or report.outcome != "passed":
        path = Path(os.environ[REPORT])
        results = json.loads(path.read_text("utf-8"))
        why = "" if report.outcome == "passed" else str(report.longrepr)
        test = {
            "test": report.nodeid,
            "outcome": report.outcome,
            "seconds": round(report.duration, 3),
            "why": why,
        }
        results["tests"].append(test)
        write_json(path, {**results, "counts": counts(results["tests"])})
        if LOST in why:
            pytest.exit("the card's context is lost, and with it every later test of this file", returncode=1)


def counts(tests: list[dict[str, Any]]) -> dict[str, int]:
    outcomes = [test["outcome"] for test in tests]
    return {outcome: outcomes.count(outcome) for outcome in ("passed", "failed", "skipped")}


def main() -> None:
    given = stage_options(__doc__)
    path = (given.out / "tests.json").absolute()
    write_json(path, {"files": {}, "tests": [], "counts": {}})
    os.environ.update({REPORT: str(path), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})
    if given.rehearse:
        os.environ[REHEARSAL] = "1"
    ends = time.monotonic() + given.seconds
    chosen = files() + ([] if given.rehearse else [CASES])
    codes = [run_file(file, path, ends, last=file == chosen[-1]) for file in chosen]
    sys.exit(any(codes))


def run_file(file: Path, path: Path, ends: float, *, last: bool) -> bool:
    """Run a file's tests for at most half of the time that is left, or all of it for the last; whether it failed."""
    if os.environ.get(REHEARSAL):
        os.environ["TRITON_INTERPRET"] = "1" if file.name == INTERPRETED else "0"
    left = ends - time.monotonic()
    marked = [] if file == CASES else ["-m", "gpu"]
    code = run_logged([*PYTEST, *marked, str(file)], left if last else left / 2)
    outcome = {None: "out of time", 0: "passed"}.get(code, f"exit code {code}")
    results = json.loads(path.read_text("utf-8"))  # to which pytest has added
    results["files"][str(file.relative_to(ROOT))] = outcome
    write_json(path, results)
    return code != 0


if __name__ == "__main__":
    main()

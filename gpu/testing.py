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
from gpu.stages import OUT_OF_TIME, run_logged, stage_options

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
ALL_LEFT_OUT = 5  # pytest's exit code where no test is left to run
OUT_OF_TIME_FOR_FILE = "out of time"
REHEARSAL = "ATTNSCOPE_GPU_REHEARSAL"
CASES = ROOT / "tests" / "triton_kernel_cases.py"
"""What else the kernels must give; on a CPU a test of its own runs them."""
INTERPRETED = (
    "test_kernels.py"  # in a rehearsal, by Triton's interpreter, which is too slow for more than that
)


def files() -> list[Path]:
    """Test files with tests for a GPU."""
    return sorted(path for path in (ROOT / "tests").rglob("test_*.py") if MARK in path.read_text("utf-8"))


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    """Called by pytest, whose plugin this module is: leave out what an earlier call has run."""
    known = {test["test"] for test in json.loads(Path(os.environ[REPORT]).read_text("utf-8"))["tests"]}
    if left_out := [item for item in items if item.nodeid in known]:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item.nodeid not in known]


def pytest_collection_finish(session: Any) -> None:
    """Called by pytest: note how many tests are to run."""
    path = Path(os.environ[REPORT])
    write_json(path, {**json.loads(path.read_text("utf-8")), "to run": len(session.items)})


def pytest_runtest_logreport(report: Any) -> None:
    """Called by pytest: add a test's outcome to the stage's results."""
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
    tests = known_tests(path) if given.resume else []
    write_json(path, {"files": {}, "tests": tests, "counts": counts(tests)})
    os.environ.update({REPORT: str(path), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})
    if given.rehearse:
        os.environ[REHEARSAL] = "1"
    ends = time.monotonic() + given.seconds
    chosen = files() + ([] if given.rehearse else [CASES])
    outcomes = []
    for number, file in enumerate(chosen):
        limit_s = (ends - time.monotonic()) / (len(chosen) - number)  # what a file leaves goes to the next
        outcomes.append(run_file(file, path, limit_s))
    sys.exit(exit_code(outcomes))


def known_tests(path: Path) -> list[dict[str, Any]]:
    """What earlier calls ran and need not be run again: all but the tests that failed."""
    tests = json.loads(path.read_text("utf-8"))["tests"]
    failed = {test["test"] for test in tests if test["outcome"] == "failed"}
    return [test for test in tests if test["test"] not in failed]


def run_file(file: Path, path: Path, limit_s: float) -> str:
    """Run a file's tests; how that ended."""
    if os.environ.get(REHEARSAL):
        os.environ["TRITON_INTERPRET"] = "1" if file.name == INTERPRETED else "0"
    known = json.loads(path.read_text("utf-8"))["tests"]
    marked = [] if file == CASES else ["-m", "gpu"]
    code = run_logged([*PYTEST, *marked, str(file)], limit_s)
    results = json.loads(path.read_text("utf-8"))  # to which pytest has added
    to_run, ran = results.pop("to run", None), len(results["tests"]) - len(known)
    outcome = {0: "passed", ALL_LEFT_OUT: "passed"}.get(code, f"exit code {code}")  # type: ignore[arg-type]
    if code is None:
        outcome = OUT_OF_TIME_FOR_FILE + ("" if to_run is None else f", {ran} of {to_run} ran")
    results["files"][os.path.relpath(file, ROOT)] = outcome
    write_json(path, results)
    return outcome


def exit_code(outcomes: list[str]) -> int:
    """Of the stage: out of time is no failure."""
    if not all(outcome.startswith(("passed", OUT_OF_TIME_FOR_FILE)) for outcome in outcomes):
        return 1
    return 0 if all(outcome == "passed" for outcome in outcomes) else OUT_OF_TIME


if __name__ == "__main__":
    main()

"""`./dev matrix`: run each combination, keep what came of it, write docs/versions.md."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

from versions.claims import PAGE, floors, page
from versions.combinations import Combination, Result, combinations
from versions.environments import ROOT, drop, environment

FIRST = ("tests/test_versions.py", "tests/test_pipelines.py", "tests/trace/test_tokens.py")
"""What people do first."""
TESTS = (
    *FIRST,
    "tests/recording",
    "tests/editing",
    "tests/guidance",
    *(f"tests/segmentation/test_{what}.py" for what in ("clicking", "diffcut", "methods", "picture_edges")),
    "tests/jobs",
)
_OF_LIBRARIES = (  # what they say of each other: diffusers 0.36 of torch 2.10, torch of Python 3.13.0
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
    "ignore:CUDA is not available:UserWarning",
    "ignore:Guards may run slower:RuntimeWarning",
)
_ASK_VERSIONS = """
import importlib.metadata, json, platform, sys
found = {name: importlib.metadata.version(name) for name in sys.argv[1:] if name != "python"}
print(json.dumps({"python": platform.python_version(), **found}))
"""


def run(combination: Combination, *, quick: bool = False, processes: int = 1) -> Result:
    """Run the tests of a combination.

    Args:
        combination: The combination.
        quick: Run `FIRST` alone, without slow tests.
        processes: How many run tests side by side.
    """
    python = environment(combination)
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        pytest = [python, "-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={report}"]
        warnings = [option for each in _OF_LIBRARIES for option in ("-W", each)]
        chosen = ["-m", "not slow and not thorough"] if quick else []
        beside = [f"--numprocesses={processes}", "--dist=loadfile"] if processes > 1 else []
        subprocess.run([*pytest, *warnings, *chosen, *beside, *(FIRST if quick else TESTS)], cwd=ROOT)
        if not report.exists():
            raise SystemExit(f"{combination.name}: pytest could not start; it says above why")
        cases = list(ElementTree.parse(report).iter("testcase"))
    failed = [
        _name(case) for case in cases if case.find("failure") is not None or case.find("error") is not None
    ]
    skipped = sum(case.find("skipped") is not None for case in cases)
    answer = subprocess.run(
        [python, "-c", _ASK_VERSIONS, *floors()], capture_output=True, text=True, check=True
    )
    passed = len(cases) - len(failed) - skipped
    return Result(date.today().isoformat(), json.loads(answer.stdout), passed, failed, skipped, list(TESTS))


def _name(case: ElementTree.Element) -> str:
    return f"{case.get('classname')}.{case.get('name')}"


def main() -> int:
    """Run what was asked for. 1: something failed."""
    parser = argparse.ArgumentParser(prog="./dev matrix", description=__doc__)
    names = [combination.name for combination in combinations()]
    parser.add_argument("--only", metavar="NAME", nargs="+", choices=names, help=f"out of {', '.join(names)}")
    parser.add_argument("--drop", action="store_true", help="remove each environment after its run")
    parser.add_argument(
        "--dry", action="store_true", help="keep no results and leave docs/versions.md as it is"
    )
    parser.add_argument("--quick", action="store_true", help="what people do first; nothing is kept of it")
    parser.add_argument(
        "--processes", type=int, default=1, metavar="N", help="tests run in so many processes"
    )
    parser.add_argument(
        "--page", action="store_true", help="run nothing: write docs/versions.md of the results so far"
    )
    asked = parser.parse_args()
    wanted = [] if asked.page else [each for each in combinations() if each.name in (asked.only or names)]
    failed = 0
    for combination in wanted:
        result = run(combination, quick=asked.quick, processes=asked.processes)
        print(
            f"{combination.name}: {result.passed} passed, {len(result.failed)} failed, {result.skipped} skipped"
        )
        failed += bool(result.failed)
        if not (asked.dry or asked.quick):
            combination.store(result)
        if asked.drop:
            drop(combination)
    if not (asked.dry or asked.quick):
        PAGE.write_text(page(combinations(), TESTS), "utf-8")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())

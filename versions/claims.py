"""What attnscope says about versions: pyproject.toml's least ones, and the page that is made of the results."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path

from versions.combinations import Combination, Result

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "versions.md"
_SHOWN = ("python", "torch", "diffusers", "transformers", "numpy", "pillow", "typer", "rich")
_HEAD = """# Versions

*Written by `./dev matrix` from what it ran, not by hand.*

Each row is a separate environment, on Linux and a CPU. In it `tests/test_versions.py` ran what people do first:
attention of every layer against P in float64 from hooks on `to_q` and `to_k`; the picture, identical to the bit, with
three processors; fused projections; words, their maps and tables; segments of drawn scenes; traces in memory, on disk
and reduced; figures, commands and the viewer. All tests that ran are {tests},
except those marked `thorough`.
`./dev matrix --only NAME` repeats a row; `pip install -c versions/NAME.txt "attnscope[all]"` installs its libraries.
"""
_BELOW = """
CI runs what people do first with the libraries of the oldest row, and `./dev test` with those in `constraints.txt`.
Other combinations were not run.

## Oldest and newest of each library

The oldest versions here are the least that pyproject.toml asks for: a test compares them.
"""


def floors() -> dict[str, str]:
    """The least version of each library that pyproject.toml asks users for, and of Python."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    asked = re.search(r"^dependencies = .*?(?=^dev = )", text, re.MULTILINE | re.DOTALL)[0]
    python = re.search(r'requires-python = ">=([\d.]+)', text)[1]
    return {"python": python, **dict(re.findall(r'"([\w-]+)>=([\d.]+)"', asked))}


def page(rows: Iterable[Combination], tests: Iterable[str]) -> str:
    """docs/versions.md.

    Args:
        rows: Combinations from oldest to newest. Those that were not run are left out.
        tests: Files and folders of the tests that ran.
    """
    results = [(row.name, row.what, row.result) for row in rows if row.result]
    matrix = [
        (f"`{name}`", *map(result.versions.__getitem__, _SHOWN), _outcome(result), result.date)
        for name, _, result in results
    ]
    least, most = results[0][2].versions, results[-1][2].versions
    ranges = [(library, least[library], most[library]) for library in floors()]
    return (
        _HEAD.format(tests=", ".join(f"`{test}`" for test in tests))
        + _table(("", *_SHOWN, "tests", "run on"), matrix)
        + "\n"
        + "".join(f"- `{name}`: {what}{_before(result, tests)}\n" for name, what, result in results)
        + _BELOW
        + _table(("", "oldest", "newest"), ranges)
    )


def _before(result: Result, tests: Iterable[str]) -> str:
    """What this row has not run of what is run now, and what was not installed."""
    missing = [f"`{test}`" for test in tests if test not in result.tests]
    missing += [library for library in floors() if library not in result.versions]
    return f" Run without {', '.join(missing)}, which came later." if missing else ""


def _outcome(result: Result) -> str:
    skipped = f", {result.skipped} skipped" if result.skipped else ""
    failed = f", failed: {', '.join(result.failed)}" if result.failed else ""
    return f"{result.passed} passed{skipped}{failed}"


def summary(rows: Iterable[Combination]) -> str:
    """The README's sentence.

    Args:
        rows: Combinations from oldest to newest.
    """
    results = [row.result for row in rows if row.result]
    ends = [
        (_short(min(results, key=_by(name)), name), _short(max(results, key=_by(name)), name))
        for name in ("torch", "diffusers", "transformers", "python")
    ]
    return "Run with torch {} to {}, diffusers {} to {}, transformers {} to {}, Python {} to {}".format(
        *chain(*ends)
    )


def _short(result: Result, library: str) -> str:
    return ".".join(result.versions[library].split(".")[:2])


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [tuple(head), *map(tuple, rows)]
    lines.insert(1, ("---",) * len(lines[0]))
    return "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _by(name: str) -> Callable[[Result], tuple[int, ...]]:
    """Sorts results by the version of one library."""
    return lambda result: tuple(int(part) for part in re.findall(r"\d+", result.versions[name])[:3])

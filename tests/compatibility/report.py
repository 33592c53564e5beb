"""Write docs/compatibility.md and the READMEs' tables, or say whether they are what the tests say.

./dev compatibility [--check] [CASE ...]
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import importlib.metadata
import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch

from compatibility import summary
from compatibility.case import COLUMNS, Cell
from compatibility.cases import CASES
from compatibility.page import PAGE, SIGNS, page, read_page
from compatibility.running import outcome


def versions() -> dict[str, str]:
    """Of the libraries that the page is true for."""
    return {
        name: importlib.metadata.version(name).split("+")[0]
        for name in ("diffusers", "transformers", "torch")
    }


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No words about deprecated pipelines; one thread, so that bits don't depend on how many there are."""
    threads = torch.get_num_threads()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        torch.set_num_threads(threads)


def _one(name: str) -> tuple[str, dict[str, Cell], float]:
    began = time.perf_counter()
    with quiet():
        cells = outcome(CASES[name])
    return name, cells, time.perf_counter() - began


def outcomes(names: list[str], processes: int) -> Iterator[tuple[str, dict[str, Cell], float]]:
    """The cells of cases as they come.

    Args:
        names: Their names.
        processes: How many run at a time.
    """
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(_one, names, chunksize=4)


def main() -> int:
    """Run the cases, print each, and write or check the page. 1 if a cell is not what the page says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "cases", nargs="*", help="names or patterns; without them all cases, and the page is written"
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail where the page says something else"
    )
    parser.add_argument("--processes", type=int, default=min(4, os.cpu_count() or 1))
    asked = parser.parse_args()
    patterns = asked.cases or ["*"]
    names = [name for name in CASES if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
    cells = {}
    for name, row, seconds in outcomes(names, asked.processes):
        cells[name] = row
        print(
            f"{seconds:5.1f} s  {' '.join(SIGNS[row[column].verdict] for column in COLUMNS)}  {name}",
            flush=True,
        )
    known = read_page(PAGE.read_text()) if PAGE.exists() else {}
    changed = [name for name in names if differs(known.get(name), cells[name])]
    for name in changed:
        print(f"\n{name} is not what docs/compatibility.md says:")
        print("\n".join(f"  {column}: {cell.verdict} {cell.text}" for column, cell in cells[name].items()))
    if asked.check or asked.cases:
        return 1 if changed else 0
    PAGE.write_text(page({name: cells[name] for name in CASES}, versions()))
    summary.write(cells)
    return 0


def differs(known: dict[str, Cell] | None, now: dict[str, Cell]) -> bool:
    """Whether a row of the page is another one now. Of what is wrong the numbers may differ.

    Args:
        known: The row of the page, None if it has none.
        now: What came.
    """
    if known is None:
        return True
    return any(
        known[column].verdict != now[column].verdict
        or (now[column].verdict == "refused" and known[column].text != now[column].text)
        for column in COLUMNS
    )


if __name__ == "__main__":
    sys.exit(main())

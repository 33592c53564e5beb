"""How quick attnscope is there: importing it and its first commands, as whole processes.

The floor is an empty Python; what one would pay with torch loaded stands beside it.

    python benchmarks/start_up.py [--repeats 9]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from functools import partial

from harness import Report, in_turns

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import torch": ["-c", "import torch"],
    "import attnscope": ["-c", "import attnscope"],
    "attnscope --help": ["-m", "attnscope", "--help"],
    "attnscope layers sd1": ["-m", "attnscope", "layers", "sd1"],
}
ASKED = {"import attnscope": "under 0.3", "attnscope --help": "under 0.5"}


def process(arguments: list[str]) -> None:
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=9)
    given = parser.parse_args()
    runs = {name: partial(process, arguments) for name, arguments in COMMANDS.items()}
    timings = in_turns(runs, repeats=given.repeats)
    report = Report("start_up", "whole processes, warm disk")
    report.add_timings(timings)
    for name in COMMANDS:
        report.add(name, timings.median(name), "s", ASKED.get(name, ""))
    for name in ("import attnscope", "attnscope --help", "attnscope layers sd1"):
        report.add(f"{name} / python -c pass", timings.ratio(name, "python -c pass"), "times")
        report.add(f"{name} / import torch", timings.ratio(name, "import torch"), "times")
    report.finish()


if __name__ == "__main__":
    main()

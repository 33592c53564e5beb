"""One table of all reports that benchmarks have left in a folder.

BENCHMARK_JSON=reports python benchmarks/head_mean.py
python benchmarks/table.py reports
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console
from rich.table import Table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    reports = [json.loads(path.read_text()) for path in sorted(parser.parse_args().folder.glob("*.json"))]
    machines = dict.fromkeys(report["machine"] for report in reports)
    table = Table(title="\n".join(machines) or "no reports", title_justify="left")
    for column, side in (("benchmark", "left"), ("what", "left"), ("measured", "right"), ("asked", "left")):
        table.add_column(column, justify=side, overflow="fold")
    for report in reports:
        for number, (what, value, unit, asked) in enumerate(report["lines"]):
            table.add_row("" if number else report["name"], what, f"{value:.4g} {unit}".strip(), asked)
        table.add_section()
    Console().print(table)


if __name__ == "__main__":
    main()

"""The stage `timings`: the scripts of benchmarks/gpu, each in a process of its own, then one table."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from gpu.packages import ROOT, missing
from gpu.progress import write_json
from gpu.stages import OUT_OF_TIME, run_logged, stage_options

SCRIPTS = ROOT / "benchmarks" / "gpu"
PARTS: dict[str, tuple[str, ...]] = {
    "layer": (),
    "capture": ("diffusers",),
    "maps": ("diffusers", "transformers", "attention_map_diffusers"),
    "diffseg": ("diffusers",),
}
"""In order of importance: what each imports beyond torch."""
INTERPRETED = "layer"  # in a rehearsal, by Triton's interpreter, which is too slow for more than that
LONGEST = 1.5
"""Times its even share of what is left that a part may take."""
TABLE_S = 60.0


def main() -> None:
    given = stage_options(__doc__)
    ends = time.monotonic() + given.seconds
    folder = (
        given.out.absolute() / "timings"
    )  # what a part has measured is there even if all of this is killed
    os.environ["BENCHMARK_JSON"] = str(folder)
    outcomes = dict.fromkeys(PARTS, "did not begin")
    try:
        for number, part in enumerate(PARTS):
            limit_s = (ends - time.monotonic()) * min(1.0, LONGEST / (len(PARTS) - number))
            outcomes[part] = "under way"
            gather(folder, given.out / "timings.json", outcomes)
            outcomes[part] = run_part(part, limit_s, toy=given.rehearse)
    finally:
        gather(folder, given.out / "timings.json", outcomes)
    if not missing(["rich"]):
        run_logged([str(ROOT / "benchmarks" / "table.py"), str(folder)], TABLE_S)
    print("\n".join(f"{part}: {outcome}" for part, outcome in outcomes.items()))
    if any(outcome.startswith("failed") for outcome in outcomes.values()):
        sys.exit(1)
    sys.exit(OUT_OF_TIME if any(outcome.startswith("out of time") for outcome in outcomes.values()) else 0)


def run_part(part: str, limit_s: float, *, toy: bool) -> str:
    """Run one script; how it ended."""
    if lacking := missing(PARTS[part]):
        return f"skipped: not installed: {', '.join(lacking)}"
    if toy:
        os.environ["TRITON_INTERPRET"] = "1" if part == INTERPRETED else "0"
    script = [str(SCRIPTS / f"{part}.py"), *(["--toy"] if toy else [])]
    code = run_logged(script, limit_s)
    return {None: f"out of time after {limit_s:.0f} s", 0: "done"}.get(code, f"failed with exit code {code}")


def gather(reports: Path, target: Path, outcomes: dict[str, str]) -> None:
    """All reports that are there, whole or not, as one file."""
    content = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(reports.glob("*.json"))}
    write_json(target, {"parts": outcomes, "reports": content})


if __name__ == "__main__":
    main()

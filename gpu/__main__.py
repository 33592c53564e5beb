"""Test, time and train on a GPU: `./dev gpu`. Every stage has its share of the time, and none stops the next.

    ./dev gpu --out OUT [--minutes 27] [--only tests,timings,training] [--wheels FOLDER]
    ./dev gpu --out OUT --only tests --resume     the tests that an earlier call had no time for, and those that failed
    ./dev gpu --rehearse     all of it at toy size on a CPU, in about six minutes

OUT holds NAME.log and NAME.json of each stage, written as it goes, report.json, and model/ with the trained weights.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

from gpu.packages import ROOT, install, missing, use
from gpu.stages import STAGES, Outcome, Stage, run_stage, stop_when_asked

MINUTES = 9.0
"""For each stage, unless --minutes says otherwise."""
ENVIRONMENT = {"HF_HUB_OFFLINE": "1"}  # nothing is looked for elsewhere
REHEARSAL_ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "",  # a rehearsal is the same on every machine
    "OMP_NUM_THREADS": "1",  # threads that wait for each other lose most of their time on two busy cores
}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    lines = (__doc__ or "").split("\n")
    parser = argparse.ArgumentParser(prog="./dev gpu", description=lines[0], epilog=lines[-2])
    parser.add_argument(
        "--out", type=Path, default=Path("gpu-results"), help="folder to write (default gpu-results)"
    )
    parser.add_argument("--minutes", type=float, help="for all stages together (default 9 for each)")
    parser.add_argument("--only", default="", metavar="STAGES", help="some of tests,timings,training")
    parser.add_argument("--wheels", type=Path, default=ROOT / ".wheels", help="filled by ./dev gpu-wheels")
    parser.add_argument("--rehearse", action="store_true", help="all of it at toy size on a CPU")
    parser.add_argument("--resume", action="store_true", help="tests: run what an earlier call did not")
    parser.add_argument("--force", action="store_true", help="replace what OUT has of these stages")
    given = parser.parse_args(arguments)
    names = [stage.name for stage in STAGES]
    asked = [name.strip() for name in given.only.split(",") if name.strip()] or names
    if unknown := [name for name in asked if name not in names]:
        parser.error(f"--only {','.join(unknown)}: the stages are {','.join(names)}")
    given.minutes = MINUTES * len(asked) if given.minutes is None else given.minutes
    if not 0 < given.minutes < float("inf"):
        parser.error(f"--minutes {given.minutes}: expected more than 0")
    given.stages = [stage for stage in STAGES if stage.name in asked]
    if given.resume and (asked != ["tests"] or given.force):
        parser.error("--resume goes on with tests: give --only tests with it, and no --force")
    if given.resume and not (given.out / "tests.json").exists():
        parser.error(f"--resume: there is no {given.out / 'tests.json'} to go on with")
    return given


def main() -> None:
    began = time.monotonic()
    given = parse()
    stop_when_asked()
    if not given.resume:
        refuse_what_is_there(given.out, given.stages, force=given.force)
    with ExitStack() as stack:
        use(ROOT / "src", ROOT)
        os.environ.update(ENVIRONMENT | (REHEARSAL_ENVIRONMENT if given.rehearse else {}))
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="attnscope-gpu-")))
        add_wheels(given.wheels, work / "site", given.stages)
        (work / "tmp").mkdir()
        os.environ["TMPDIR"] = str(work / "tmp")  # what a stage that is stopped leaves there goes, too
        if missing(["torch"]):
            sys.exit(
                "gpu: PyTorch is not installed for this Python; name another with PYTHON=/path/to/python"
            )
        about = machine(given.rehearse)
        given.out.mkdir(parents=True, exist_ok=True)
        outcomes = run(given, about, began)
    sys.exit(any(outcome.outcome in ("failed", "out of time") for outcome in outcomes))


def refuse_what_is_there(out: Path, stages: Sequence[Stage], *, force: bool) -> None:
    """Results, and above all weights, are not written over by chance."""
    places = [out / f"{stage.name}{end}" for stage in stages for end in (".json", ".log", "")]
    places += [out / "model"] if any(stage.name == "training" for stage in stages) else []
    there = [place for place in places if place.exists()]
    if there and not force:
        sys.exit(f"gpu: {there[0]} is there already: give another --out, or --force to replace it")
    for place in there:
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink()


def add_wheels(wheels: Path, target: Path, stages: Sequence[Stage]) -> None:
    """Install the wheels into a folder of their own, if something is missing and they are there."""
    lacking = missing(
        dict.fromkeys(name for stage in stages for name in (*stage.needs, "attention_map_diffusers"))
    )
    if not lacking:
        return
    if not any(wheels.glob("*.whl")):
        print(f"not installed here: {', '.join(lacking)}; no wheels in {wheels} (./dev gpu-wheels {wheels})")
        return
    try:
        install(wheels, target)
    except CalledProcessError as error:
        print(f"the wheels of {wheels} can't be installed, so going on without: {error.stderr.strip()}")
        return
    use(target, ROOT / "src", ROOT)


def machine(rehearse: bool) -> dict[str, Any]:
    """What runs, as it is; refuses a machine without a GPU unless this is a rehearsal."""
    import torch

    about: dict[str, Any] = {
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "rehearsal": rehearse,
    }
    if rehearse:
        return about
    if not torch.cuda.is_available():
        sys.exit("gpu: torch sees no GPU here; ./dev gpu --rehearse tries all of it on a CPU")
    properties = torch.cuda.get_device_properties(0)
    return {
        **about,
        "gpu": properties.name,
        "memory_gb": properties.total_memory / 1e9,
        "capability": f"{properties.major}.{properties.minor}",
        "cuda": torch.version.cuda,
        "path": which_path(),
    }


def which_path() -> str:
    """Which code computes a head mean on this GPU, and why, after it has: Triton needs a C compiler and more."""
    import torch

    from attnscope import probability

    query = torch.randn(2, 70, 40, device="cuda")
    try:
        probability.reduce(query, query, scale=0.1, over=("head",))
        torch.cuda.synchronize()
    except Exception as error:  # whatever it is, the stages say more
        return f"a head mean fails: {type(error).__name__}: {error}"
    return probability.path_for(query, query, over=("head",)).reason


def run(given: argparse.Namespace, about: dict[str, Any], began: float) -> list[Outcome]:
    """All stages; what each leaves of its time goes to the next. An earlier call's stages stay in the report."""
    from gpu.progress import write_json  # of attnscope.files, which `use` has made known

    options = [f"--{name}" for name in ("rehearse", "resume") if getattr(given, name)]
    ends = began + 60 * given.minutes
    report = given.out / "report.json"
    earlier = json.loads(report.read_text("utf-8"))["stages"] if report.exists() else []
    names = [stage.name for stage in given.stages]
    earlier = [outcome for outcome in earlier if outcome["stage"] not in names]
    outcomes: list[Outcome] = []
    for number, stage in enumerate(given.stages):
        to_come = sum(other.share for other in given.stages[number:])
        limit_s = max(1.0, (ends - time.monotonic()) * stage.share / to_come)
        print(f"== {stage.name}: at most {limit_s / 60:.1f} minutes", flush=True)
        outcomes.append(run_stage(stage, given.out, limit_s, options))
        write_json(report, {"machine": about, "stages": [*earlier, *map(asdict, outcomes)]})
    print("\n".join(["==", *map(str, outcomes)]))
    return outcomes


if __name__ == "__main__":
    main()

"""`./dev gpu`: stages are independent, limited in time and leave what they had; the wheels are all that is needed."""

import ast
import importlib.metadata
import json
import subprocess
import sys
import time
from pathlib import Path
from zipfile import ZipFile

import pytest

from gpu import __main__ as day
from gpu import testing, wheels
from gpu.demo_model import compared
from gpu.packages import HERE, canonical, named
from gpu.stages import OUT_OF_TIME, STAGES, Stage, run_stage
from gpu.timing import PARTS, gather

ROOT = HERE.parent


def stage_of(tmp_path, monkeypatch, name, program):
    """A stage that runs this program."""
    (tmp_path / f"{name}_stage.py").write_text(program)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return Stage(name, f"{name}_stage", 1.0, ())


def ends(process_id):
    """Whether a process is gone, or only waits to be forgotten, within a few seconds."""
    state = Path(f"/proc/{process_id}/stat")
    for _ in range(50):
        try:
            if state.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.1)
    return False


def test_a_stage_writes_its_log_and_says_how_it_ended(tmp_path, monkeypatch):
    programs = {
        "out of time": "print('now'); raise SystemExit(75)",
        "done": "print('all is well')",
        "failed": "print('now'); raise SystemExit(3)",
    }
    for expected, program in programs.items():
        outcome = run_stage(stage_of(tmp_path, monkeypatch, expected, program), tmp_path, 30, [])
        assert outcome.outcome == expected
        assert (tmp_path / f"{expected}.log").read_text() in ("all is well\n", "now\n")
    assert "exit code 3" in outcome.why


def test_each_stage_has_nine_minutes_unless_asked():
    assert day.parse(["--only", "tests"]).minutes == 9
    assert day.parse([]).minutes == 27
    assert day.parse(["--only", "tests", "--minutes", "4"]).minutes == 4


TESTS = """
import pathlib, time, pytest
pytestmark = pytest.mark.gpu
def test_first(): pass
def test_second(): assert pathlib.Path(__file__).with_name("mended").exists()
def test_third(): time.sleep(0 if pathlib.Path(__file__).with_name("mended").exists() else 600)
def test_last(): pass
"""


@pytest.mark.thorough
@pytest.mark.slow
def test_tests_that_an_earlier_call_did_not_run_are_run_by_the_next(tmp_path, monkeypatch):
    file, path = tmp_path / "test_for_a_gpu.py", tmp_path / "tests.json"
    file.write_text(TESTS)
    monkeypatch.setenv(testing.REPORT, str(path))
    monkeypatch.setenv(testing.REHEARSAL, "1")

    def ran(tests, limit_s):
        path.write_text(json.dumps({"files": {}, "tests": tests, "counts": {}}))
        outcome = testing.run_file(file, path, limit_s)
        results = json.loads(path.read_text())
        assert list(results["files"].values()) == [outcome]
        new = results["tests"][len(tests) :]
        return outcome, {test["test"].partition("::")[2]: test["outcome"] for test in new}

    assert ran([], 15) == ("out of time, 2 of 4 ran", {"test_first": "passed", "test_second": "failed"})
    (tmp_path / "mended").touch()
    known = testing.known_tests(path)
    assert [test["outcome"] for test in known] == ["passed"]
    left = dict.fromkeys(("test_second", "test_third", "test_last"), "passed")
    assert ran(known, 60) == ("passed", left)
    assert ran(testing.known_tests(path), 60) == ("passed", {})  # nothing is left to run


def test_what_had_no_time_has_not_failed():
    assert testing.exit_code(["passed", "passed"]) == 0
    assert testing.exit_code(["passed", "out of time, 3 of 9 ran", "out of time"]) == OUT_OF_TIME
    assert testing.exit_code(["out of time", "exit code 1"]) == 1


@pytest.mark.slow
def test_a_stage_that_hangs_is_ended_with_all_that_it_started(tmp_path, monkeypatch):
    program = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open({str(tmp_path / "child")!r}, "w").write(str(child.pid))
print("begun", flush=True)
time.sleep(600)
"""
    began = time.monotonic()
    outcome = run_stage(stage_of(tmp_path, monkeypatch, "slow", program), tmp_path, 3, [])
    assert outcome.outcome == "out of time"
    assert time.monotonic() - began < 20
    assert (tmp_path / "slow.log").read_text() == "begun\n"
    assert ends(int((tmp_path / "child").read_text()))


@pytest.mark.slow
def test_a_stage_whose_stage_has_children_of_its_own_ends_them_too(tmp_path, monkeypatch):
    """As the stages `tests` and `timings`, which start a process for each file."""
    program = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from gpu.stages import run_logged, stop_when_asked
stop_when_asked()
try:
    run_logged(["-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"], 600)
finally:
    print("left in order")
"""
    run_stage(stage_of(tmp_path, monkeypatch, "outer", program), tmp_path, 4, [])
    first, last = (tmp_path / "outer.log").read_text().split("\n", 1)
    assert last == "left in order\n"
    assert ends(int(first))


def test_a_process_ends_with_the_one_that_started_it_even_if_that_is_killed():
    inner = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    outer = f"from gpu.stages import run_logged; run_logged(['-c', {inner!r}], 600)"
    with subprocess.Popen([sys.executable, "-c", outer], cwd=ROOT, stdout=subprocess.PIPE) as process:
        child = int(process.stdout.readline())
        process.kill()
    assert ends(child)


def test_results_are_not_written_over_unless_forced(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "tests.json").write_text("{}")
    tests, timings, training = STAGES
    day.refuse_what_is_there(tmp_path, [timings], force=False)
    for stage in (tests, training):
        with pytest.raises(SystemExit, match="is there already: give another --out, or --force"):
            day.refuse_what_is_there(tmp_path, [stage], force=False)
    day.refuse_what_is_there(tmp_path, [tests, training], force=True)
    assert not list(tmp_path.iterdir())


def test_a_later_call_adds_to_the_report(tmp_path, monkeypatch):
    monkeypatch.setattr(day, "run_stage", lambda stage, *_: day.Outcome(stage.name, "done", 0.0))
    for only in ("tests", "timings", "tests"):
        day.run(day.parse(["--out", str(tmp_path), "--only", only]), {}, time.monotonic())
    report = json.loads((tmp_path / "report.json").read_text())
    assert [stage["stage"] for stage in report["stages"]] == ["timings", "tests"]


def test_what_is_not_installed_skips_a_stage_and_is_said(tmp_path):
    outcome = run_stage(Stage("tests", "gpu.testing", 1.0, ("json", "no_such_module")), tmp_path, 9, [])
    assert (outcome.outcome, outcome.why) == ("skipped", "not installed: no_such_module")


def test_a_failed_stage_does_not_stop_the_next_and_its_time_goes_on(tmp_path, monkeypatch):
    asked = []

    def run(stage, out, limit_s, options):
        asked.append((stage.name, limit_s))
        return day.Outcome(stage.name, "failed" if stage.name == "tests" else "done", 0.0)

    monkeypatch.setattr(day, "run_stage", run)
    given = day.parse(["--out", str(tmp_path), "--minutes", "10"])
    outcomes = day.run(given, {"gpu": "none"}, time.monotonic())
    assert [outcome.outcome for outcome in outcomes] == ["failed", "done", "done"]
    assert [name for name, _ in asked] == [stage.name for stage in STAGES]
    assert asked[0][1] == pytest.approx(204, abs=2)
    assert asked[2][1] == pytest.approx(600, abs=2)  # the others took no time
    report = json.loads((tmp_path / "report.json").read_text())
    assert [stage["outcome"] for stage in report["stages"]] == ["failed", "done", "done"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "tests,dancing"], "--only dancing: the stages are tests,timings,training"),
        (["--minutes", "0"], "--minutes 0.0: expected more than 0"),
        (["--minutes", "nan"], "--minutes nan"),
        (["--resume"], "--resume goes on with tests: give --only tests with it"),
        (["--resume", "--only", "tests", "--force"], "and no --force"),
        (["--resume", "--only", "tests", "--out", "no-such-folder"], "there is no no-such-folder/tests.json"),
    ],
)
def test_bad_options_are_refused(arguments, message, capsys):
    with pytest.raises(SystemExit) as refusal:
        day.parse(arguments)
    assert refusal.value.code == 2
    assert message in capsys.readouterr().err


def test_a_machine_without_a_gpu_is_refused_unless_it_rehearses(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit, match="torch sees no GPU here; ./dev gpu --rehearse"):
        day.machine(rehearse=False)
    assert day.machine(rehearse=True)["rehearsal"]


def test_reports_of_parts_that_did_not_end_are_kept(tmp_path):
    (tmp_path / "layer.json").write_text('{"lines": [["head mean", 1.0, "ms", ""]]}')
    gather(tmp_path, tmp_path / "out" / "timings.json", {"layer": "out of time after 3 s"})
    content = json.loads((tmp_path / "out" / "timings.json").read_text())
    assert content["reports"]["layer"]["lines"][0][1] == 1.0
    assert content["parts"] == {"layer": "out of time after 3 s"}


def test_every_script_of_timings_is_run():
    scripts = {path.stem for path in (ROOT / "benchmarks" / "gpu").glob("*.py")}
    assert scripts - {"card"} == set(PARTS)


def test_models_are_compared_row_by_row():
    rows = {"trained on": {"a": 0.5, "b": 0.7, "new": 1.0}, "shipped": {"a": 0.6, "b": 0.7}}
    assert compared(rows) == {"trained on, shipped": {"a": [0.5, 0.6], "b": [0.7, 0.7]}, "worse": ["a"]}


def test_files_with_tests_for_a_gpu_are_found():
    assert {path.name for path in testing.files()} >= {"test_kernels.py", "test_captures.py"}


def test_every_import_of_the_stages_is_a_wheel_or_the_machines_own():
    provided = {*named(HERE / "wheels.txt"), *named(HERE / "machine.txt")}
    distributions = importlib.metadata.packages_distributions()
    lacking = {}
    for path in sources():
        for module in {name.split(".")[0] for name in imported(path) if not files_of(name)}:
            names = {canonical(name) for name in distributions.get(module, [module])}
            if module not in sys.stdlib_module_names and not names & provided:
                lacking.setdefault(module, set()).add(path.name)
    assert lacking == NOT_NEEDED


NOT_NEEDED = {
    "av": {"moving.py"},
    "matplotlib": {"axes.py", "difference.py"},
    "xarray": {"named.py"},
    "pandas": {"ranking.py", "result.py", "word_table.py"},
    "skimage": {"spreading.py"},
    "kornia": {"picture_edges.py"},
    "ray": {"ray_engine.py"},
}
"""Films, figures, named arrays, tables, backgrounds and clusters, which no stage asks for."""
PLACES = [ROOT, *(ROOT / place for place in ("src", "tests", "benchmarks", "benchmarks/gpu"))]
LAZY = ("heatmap/heat_map", "pipelines/__init__", "recording/capture", "segmentation/segment", "trace/files")
"""Files of what `import attnscope` resolves by name."""


def sources():
    """Every file that a stage may run: imports are followed from where stages begin."""
    begin = [path for place in ("gpu", "tests/gpu", "benchmarks/gpu") for path in (ROOT / place).glob("*.py")]
    begin += [ROOT / "tests" / name for name in ("triton_kernel_cases.py", "conftest.py")]
    begin += [ROOT / "src" / "attnscope" / f"{name}.py" for name in LAZY]
    begin.append(ROOT / "benchmarks" / "table.py")
    seen = set()
    while begin:
        path = begin.pop()
        if path not in seen:
            seen.add(path)
            begin += [file for name in imported(path) for file in files_of(name)]
    assert len(seen) > 80
    return seen


def imported(path):
    """Names of modules, and of what is taken from them, that may be modules."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def files_of(name):
    """Files of this repository that a module's name, or the name of something in it, stands for."""
    parts = name.split(".")
    paths = [
        place.joinpath(*parts[:length])
        for place in PLACES
        for length in (len(parts), len(parts) - 1)
        if length
    ]
    candidates = [
        candidate for path in paths for candidate in (path.with_suffix(".py"), path / "__init__.py")
    ]
    return [candidate for candidate in candidates if candidate.is_file()]


def test_a_folder_that_lacks_a_wheel_or_a_need_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(wheels, "install", lambda *given: None)
    made_wheel(
        tmp_path,
        "rich",
        "15.0.0",
        needs=["pygments>=99", "no-such-thing", 'colorama; sys_platform == "win32"'],
    )
    wrong = wheels.check(tmp_path)
    assert "diffusers 0.42.1 is missing" in wrong
    assert "rich needs no-such-thing, which is neither a wheel nor the machine's own" in wrong
    assert f"rich needs pygments>=99, and there is {named(HERE / 'wheels.txt')['pygments']}" in wrong
    assert not any("colorama" in line for line in wrong)


def made_wheel(folder, name, version, *, needs):
    with ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {need}" for need in needs)]
        archive.writestr(f"{name}-{version}.dist-info/METADATA", "\n".join(lines) + "\n")

"""Whoever writes is killed, or the disk fills up: the older or the newer is there, whole, and nothing else for long."""

import json
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest
from PIL import Image

import attnscope
import killing
from attnscope.errors import OutputError
from attnscope.testing.made_traces import made_trace
from attnscope.viewer.export import export_page

pytestmark = [
    pytest.mark.attack,
    pytest.mark.skipif(sys.platform != "linux", reason="kills processes that it forks, as Linux does"),
]


class Killing:
    """A process that forks others, which do a case's work and are killed."""

    def __init__(self, case, place):
        arguments = [sys.executable, "-W", "ignore", "-m", "killing", case, str(place)]
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lines = self.answer()

    def answer(self):
        return json.loads(self.process.stdout.readline())

    def killed_at(self, moment):
        self.process.stdin.write(f"{moment}\n")
        self.process.stdin.flush()
        return self.answer()


@pytest.fixture
def started(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", ":".join(path for path in sys.path if path))
    processes = []

    def start(case):
        processes.append(Killing(case, tmp_path))
        return processes[-1]

    yield start
    for killer in processes:
        killer.process.stdin.close()
        killer.process.wait()
        killer.process.stdout.close()


@pytest.mark.thorough
@pytest.mark.parametrize("case", killing.CASES)
def test_killed_at_any_line_of_writing(started, attack, case):
    killer, tries = started(case), len(attack.tries(20))
    lines = range(1, killer.lines + 1)
    for line in lines if tries >= len(lines) else attack.random.sample(lines, tries):
        left = killer.killed_at(line)
        attack.count(left)
        assert not left.startswith("WRONG"), f"line {line}: {left}"


@pytest.mark.thorough
@pytest.mark.parametrize("case", killing.CASES)
def test_killed_at_any_time(started, attack, case):
    killer = started(case)
    for _ in attack.tries(6):
        seconds = attack.random.uniform(0, 0.2)
        left = killer.killed_at(f"{seconds:.6f}")
        attack.count(left)
        assert not left.startswith("WRONG"), f"after {seconds} s: {left}"


# A full disk


@contextmanager
def largest_file(size):
    """No file may be larger, as if the disk were full there."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def results():
    trace = made_trace()
    trace.run.pictures = [Image.effect_noise((48, 32), 50).convert("RGB")]
    heat, segments = attnscope.heat_map(trace, "cat"), attnscope.segment(trace)
    return {
        "run.trace": trace.save,
        "map.png": heat.save,
        "map.npy": heat.save,
        "map.jpg": heat.save,
        "map.webp": heat.save,
        "segments": segments.save,
        "page.html": lambda path, overwrite: export_page(trace, path, overwrite=overwrite),
    }


@pytest.mark.parametrize(
    "name", ["run.trace", "map.png", "map.npy", "map.jpg", "map.webp", "segments", "page.html"]
)
def test_a_full_disk_leaves_what_was_there(results, tmp_path, attack, name):
    results[name](tmp_path / name, overwrite=True)
    before = contents(tmp_path)
    largest = max(map(len, before.values()))
    for _ in attack.tries(8):
        size = attack.random.choice([0, largest - 1, attack.random.randrange(largest)])
        with largest_file(size), pytest.raises(OutputError):
            results[name](tmp_path / name, overwrite=True)
        assert contents(tmp_path).keys() == before.keys()
        assert name == "segments" or contents(tmp_path) == before
        with largest_file(size), pytest.raises(OutputError):
            results[name](tmp_path / "new" / name, overwrite=False)
        assert name == "segments" or not (tmp_path / "new").exists()
        shutil.rmtree(tmp_path / "new", ignore_errors=True)  # of several files the first may fit
        attack.count("refused")

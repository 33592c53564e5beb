"""Whoever writes is killed, and what was there stays: the older or the newer, whole, and nothing else for long."""

import json
import subprocess
import sys

import pytest

import killing

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


@pytest.mark.parametrize("case", killing.CASES)
def test_killed_at_any_line_of_writing(started, attack, case):
    killer, tries = started(case), len(attack.tries(30))
    lines = range(1, killer.lines + 1)
    for line in lines if tries >= len(lines) else attack.random.sample(lines, tries):
        left = killer.killed_at(line)
        attack.count(left)
        assert not left.startswith("WRONG"), f"line {line}: {left}"


@pytest.mark.parametrize("case", killing.CASES)
def test_killed_at_any_time(started, attack, case):
    killer = started(case)
    for _ in attack.tries(10):
        seconds = attack.random.uniform(0, 0.06)
        left = killer.killed_at(f"{seconds:.6f}")
        attack.count(left)
        assert not left.startswith("WRONG"), f"after {seconds} s: {left}"

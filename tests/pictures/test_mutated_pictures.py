"""Whatever bytes are called a picture: a right result or one AttnscopeError, in bounded time and memory."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import mutations
import pytest

SECONDS_EACH = 10
PEAK_MB = 3000  # torch, and the largest picture of MAX_PIXELS on its way to RGB


def test_whole_pictures_of_every_format_are_read():
    read = {kind: mutations.read(contents) for kind, contents in mutations.whole_files() if kind != "EPS"}
    assert len(read) > 18
    assert set(read.values()) == {"right"}


def test_mutated_pictures_are_right_or_refused():
    results = []
    for number in range(400):
        began = time.monotonic()
        results.append(mutations.read(mutations.mutated(number)[2]))
        assert time.monotonic() - began < SECONDS_EACH
    assert set(results) == {"right", "refused"}


@pytest.mark.slow
def test_ten_thousand_mutated_pictures(tmp_path):
    program = [sys.executable, str(Path(mutations.__file__)), "10000", "13"]
    done = subprocess.run(program, capture_output=True, text=True, timeout=900, cwd=tmp_path, check=True)
    facts = json.loads(done.stdout)
    assert facts.get("wrong", 0) == 0, done.stderr[-2000:]
    assert facts["right"] + facts["refused"] == 10_000
    assert facts["right"] > 2000
    assert facts["slowest_s"] < SECONDS_EACH
    assert facts["peak_mb"] < PEAK_MB

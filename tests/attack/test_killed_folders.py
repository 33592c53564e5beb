"""`attnscope segment FOLDER` killed at any moment and started again: nothing half, results as of an undisturbed run."""

import json
import os
import subprocess
import sys
import time

import pytest
from PIL import Image

from attnscope.demo.scenes import scene

PHOTOS = 5
pytestmark = [
    pytest.mark.attack,
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="kills as Unix does"),
]


def started(photos, output):
    command = [sys.executable, "-m", "attnscope", "segment", str(photos), "-o", str(output)]
    place = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen(command, env=place, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def ended(photos, output):
    process = started(photos, output)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return json.loads((output / "report.json").read_text())["counts"]


def results(output):
    """The contents of all files but the report; what a kill left is hidden, and taken away at a later start."""
    paths = [path for path in sorted(output.iterdir()) if path.stem != "report" and path.name[0] != "."]
    return {path.name: path.read_bytes() for path in paths}


def check_whole(output, whole):
    """Every picture can be decoded, and where NAME.json stands all of NAME's files are those of the undisturbed run."""
    there = results(output) if output.exists() else {}
    for path in output.glob("*.png"):
        Image.open(path).load()
    for name in [name for name in there if name.endswith(".json")]:
        own = {each for each in whole if each.startswith(f"{name.removesuffix('.json')}.")}
        assert {each: there[each] for each in own} == {each: whole[each] for each in own}
    return {name for name in there if name.endswith(".json")}


@pytest.mark.thorough
def test_killed_at_any_moment_and_started_again(tmp_path, attack):
    photos, output = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for number in range(PHOTOS):
        scene(number).pil_image.save(photos / f"{number}.png")
    begin = time.monotonic()
    assert ended(photos, tmp_path / "undisturbed")["done"] == PHOTOS
    seconds, whole = time.monotonic() - begin, results(tmp_path / "undisturbed")
    done, starts = set(), 0
    for _ in attack.tries(2):
        process = started(photos, output)
        time.sleep(attack.random.uniform(0.2, 0.9) * seconds)
        process.kill()
        process.communicate()
        attack.count("killed" if process.returncode < 0 else "ended before")
        now = check_whole(output, whole)
        assert done <= now  # what was done is not done again, and never taken away
        done, starts = now, starts + 1
        if len(done) == PHOTOS:
            output.rename(tmp_path / f"done-{starts}")
            assert results(tmp_path / f"done-{starts}") == whole
            done = set()
    counts = ended(photos, output)
    assert counts == {"done": PHOTOS - len(done), "skipped": len(done), "failed": 0}
    assert results(output) == whole
    assert {path.name for path in output.iterdir()} == {*whole, "report.json", "report.parquet"}

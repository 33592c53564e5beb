"""Without extras: what needs none works, and what needs one says which. An installation of the wheel is tried by
packaging/check.py; here the base dependencies of this environment are all that can be seen."""

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def base_dependencies():
    """attnscope's dependencies and theirs, without what stands under an extra."""
    known, waiting = {}, ["attnscope"]
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in known:
            continue
        try:
            known[name] = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:  # for another system or Python
            continue
        needed = [each for each in known[name].requires or () if "extra ==" not in each]
        waiting += [re.match(r"[\w.-]+", each)[0] for each in needed if "triton" not in each]
    return [distribution for name, distribution in known.items() if name != "attnscope"]


@pytest.fixture(scope="module")
def without_extras(tmp_path_factory):
    """A folder with links to the base dependencies, for PYTHONPATH."""
    folder = tmp_path_factory.mktemp("base")
    for distribution in base_dependencies():
        for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            place = Path(distribution.locate_file(top))
            if place.exists() and not (folder / top).exists():
                (folder / top).symlink_to(place)
    return folder


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_what_needs_an_extra_names_it_and_the_rest_works(without_extras):
    done = subprocess.run(
        [sys.executable, "-S", str(ROOT / "packaging" / "trial.py")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(without_extras)))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(
        r"[1-9]\d* commands that work, [1-9]\d* that name their extra, 0 things wrong", done.stdout
    )

"""What is installed here, and what a folder of wheels adds: to a folder of its own, never to the system."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
PYTHON = "3.12"
PLATFORMS = (
    "manylinux_2_28_x86_64",
    "manylinux_2_27_x86_64",
    "manylinux_2_17_x86_64",
    "manylinux2014_x86_64",
    "any",
)
FOR_THE_MACHINE = [
    "--only-binary=:all:",
    *("--python-version", PYTHON, "--implementation", "cp"),
    *(option for abi in ("cp312", "abi3", "none") for option in ("--abi", abi)),
    *(option for platform in PLATFORMS for option in ("--platform", platform)),
]
"""pip's options for wheels of such a machine, wherever pip itself runs."""


def missing(imports: Iterable[str]) -> list[str]:
    """Those that Python does not find."""
    return [name for name in imports if importlib.util.find_spec(name) is None]


def pip(*arguments: str | Path) -> None:
    """Run pip; raises CalledProcessError with what it printed."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, text=True)


def install(wheels: Path, target: Path, *options: str) -> None:
    """Install every wheel of a folder into another one, without a network."""
    files = sorted(wheels.glob("*.whl"))
    pip("install", "--no-index", "--no-deps", "--no-compile", "--target", target, *options, *files)


def use(*folders: Path) -> None:
    """Let this process and those that it starts import from these folders, before all others."""
    sys.path[:0] = [str(folder) for folder in folders]
    others = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([*map(str, folders), *([others] if others else [])])
    importlib.invalidate_caches()


def named(requirements: Path) -> dict[str, str]:
    """Names in pip's own spelling -> versions ('' where none is given), from a file of requirements."""
    lines = (line.split("#")[0].strip() for line in requirements.read_text("utf-8").splitlines())
    pairs = (line.partition("==") for line in lines if line)
    return {canonical(name): version for name, _, version in pairs}


def canonical(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")

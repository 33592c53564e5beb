"""Where a combination is run: a virtual environment for each, made once for each state of its pins."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

from versions.combinations import Combination

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".venv-matrix"
_TOOLS = ("pytest>=8", "pytest-xdist>=3.6", "hypothesis>=6.100")


def environment(combination: Combination) -> Path:
    """The Python of a combination's environment, which is made if there is none.

    Args:
        combination: The combination.

    Raises:
        SystemExit: There is no such Python here, or pip can't install it.
    """
    folder = FOLDER / combination.name
    python = folder / "bin" / "python"
    wanted = combination.file.read_bytes() + (ROOT / "pyproject.toml").read_bytes()
    stamp = folder / f"attnscope-{zlib.crc32(wanted)}"
    if not stamp.exists():
        shutil.rmtree(folder, ignore_errors=True)
        base = interpreter(combination.python)
        print(f"setting up {folder} (torch with CUDA takes 4 to 6 GB)", file=sys.stderr)
        subprocess.run([base, "-m", "venv", folder], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        if subprocess.run([*pip, "-c", combination.file, "-e", f"{ROOT}[all]", *_TOOLS]).returncode:
            raise SystemExit(f"{combination.name} can't be installed; pip says above why")
        stamp.touch()
    return python


def drop(combination: Combination) -> None:
    """Remove its environment.

    Args:
        combination: The combination.
    """
    shutil.rmtree(FOLDER / combination.name)


def interpreter(version: str) -> str:
    """The path of a Python of this version.

    Args:
        version: As in "3.12".

    Raises:
        SystemExit: There is none here.
    """
    asks = "import sys; print(*sys.version_info[:2], sep='.')"
    for candidate in _candidates(version):
        answer = subprocess.run([candidate, "-c", asks], capture_output=True, text=True)
        if answer.stdout.strip() == version:
            return candidate
    raise SystemExit(f"no Python {version} here: install it and put python{version} on the PATH")


def _candidates(version: str) -> Iterator[str]:
    """Where a Python may be: this one, on the PATH, where pyenv and uv put theirs."""
    yield sys.executable
    if on_path := shutil.which(f"python{version}"):
        yield on_path
    for folder in ("~/.pyenv/versions", "~/.local/share/uv/python"):
        for found in sorted(Path(folder).expanduser().glob(f"*{version}.*/bin/python3")):
            yield str(found)

"""Three habits of `./dev` where there is no shell, as on Windows: `py dev.py demo`, `studio` or `test`.

The first run sets up .venv with the pinned versions, which takes minutes. Options go to the command, those of `test`
to pytest.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
PLACE = ROOT / ".venv"
PROGRAMS = PLACE / ("Scripts" if sys.platform == "win32" else "bin")
HABITS = {
    "demo": ("all", ["attnscope", "demo", "--force"]),
    "studio": ("all", ["attnscope", "studio"]),
    "test": ("dev", ["pytest"]),
}
"""The extra that each needs, and the module that runs with its arguments."""


def main() -> None:
    """Set up what is missing, then run what is asked; its exit code is this one's."""
    habit, options = "".join(sys.argv[1:2]), sys.argv[2:]
    if habit not in HABITS:
        sys.exit(f"dev.py got {habit!r}; expected one of {', '.join(HABITS)}, as in: python dev.py demo")
    if not (3, 10) <= sys.version_info < (3, 14):
        sys.exit(f"attnscope needs Python 3.10 to 3.13; this is {sys.version.split()[0]}. Take one of them")
    extra, command = HABITS[habit]
    set_up(extra)
    sys.exit(subprocess.run([PROGRAMS / "python", "-m", *command, *options], cwd=ROOT).returncode)


def set_up(extra: str) -> None:
    """Install attnscope[EXTRA] into .venv, once for each state of the pins.

    Args:
        extra: The extra.
    """
    pins = (ROOT / "pyproject.toml").read_bytes() + (ROOT / "constraints.txt").read_bytes()
    stamp = PLACE / f"attnscope-{extra}-{hashlib.sha256(pins).hexdigest()[:16]}"
    if stamp.exists():
        return
    print("setting up .venv (once; torch is large)", file=sys.stderr)  # noqa: T201
    if not (PLACE / "pyvenv.cfg").exists():
        venv.create(PLACE, with_pip=True)
    install = [PROGRAMS / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "-c", "constraints.txt", "-e", f".[{extra}]"], cwd=ROOT, check=True)
    stamp.touch()


if __name__ == "__main__":
    main()

"""Build the package and check it as those get it who install it: `python packaging/check.py [DIR]`.

Needs packaging/requirements.txt. In DIR (default: dist) lie the sdist and the wheel afterwards; a wheel that was there
is replaced. Then the wheel is installed with its base dependencies alone into an empty environment, which takes 1 GB
for a while, and trial.py runs there.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1]
SOURCE = "src/attnscope"
MOST_BYTES = 20_000_000
NEEDED = (
    *("attnscope/py.typed", "attnscope/demo/model/model_index.json", "attnscope/viewer/static/index.html"),
    *(
        f"attnscope/demo/model/{part}.safetensors"
        for part in ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model")
    ),
)
"""Some of the package's data, by name: git might not have them either."""


def main() -> None:
    """Build, look inside, install, try; end with 1 where something is not as it should be."""
    asked = parsed()
    folder = Path(asked.folder).resolve()
    with tempfile.TemporaryDirectory(prefix="attnscope-wheel-") as scratch:
        sdist, wheel = built(folder, Path(scratch))
        wrong = [*wrong_files(sdist, wheel), *wrong_page(wheel), *wrong_wheel(wheel, Path(scratch))]
        for line in wrong:
            say(line)
        if wrong:
            sys.exit(1)
        tool("twine", "check", "--strict", str(sdist), str(wheel))
        tool("check_wheel_contents", str(wheel))
        if not asked.no_install:
            environment = Path(asked.environment or Path(scratch, "environment")).resolve()
            try_out(wheel, environment, Path(scratch))


def parsed() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        prog="./dev wheel", description="Build sdist and wheel, check and try them."
    )
    parser.add_argument(
        "folder", metavar="DIR", nargs="?", default="dist", help="Where they go; dist by default."
    )
    parser.add_argument("--no-install", action="store_true", help="Look inside only.")
    parser.add_argument(
        "--environment",
        metavar="FOLDER",
        help="Keep the environment here. One that is there already gets the new wheel, which is quick.",
    )
    return parser.parse_args()


def built(folder: Path, scratch: Path) -> tuple[Path, Path]:
    """The sdist, and the wheel that is built from it.

    Args:
        folder: Where they go.
        scratch: For what is built on the way.
    """
    began = time.perf_counter()
    build = ("build", "--no-isolation")
    tool(*build, "--outdir", str(scratch / "from-sdist"), str(ROOT), quiet=True)
    tool(*build, "--wheel", "--outdir", str(scratch / "from-tree"), str(ROOT), quiet=True)
    folder.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob("attnscope-*.whl"), *folder.glob("attnscope-*.tar.gz")):
        old.unlink()
    for new in (scratch / "from-sdist").iterdir():
        shutil.copy(new, folder / new.name)
    sdist, wheel = next(folder.glob("attnscope-*.tar.gz")), next(folder.glob("attnscope-*.whl"))
    for file in (sdist, wheel):
        say(f"{file.name}: {file.stat().st_size / 1e6:.1f} MB")
    say(f"sha256 of the sdist: {hashlib.sha256(sdist.read_bytes()).hexdigest()}")
    say(f"built in {time.perf_counter() - began:.0f} s")
    return sdist, wheel


def wrong_files(sdist: Path, wheel: Path) -> Iterator[str]:
    """What is too large, missing, or not to be handed out.

    Args:
        sdist: The source distribution.
        wheel: The wheel.
    """
    for file in (sdist, wheel):
        if (size := file.stat().st_size) > MOST_BYTES:
            yield f"{file.name} has {size / 1e6:.1f} MB; expected at most {MOST_BYTES / 1e6:.0f} MB"
    inside = set(contents(wheel))
    for needed in NEEDED:
        if needed not in inside:
            yield f"{wheel.name} lacks {needed}"
    tracked = tracked_files()
    info = f"{wheel.name.rsplit('-', 3)[0]}.dist-info/"
    packed = {name for name in inside if not name.startswith(info)}
    for name in sorted(packed - tracked):
        yield f"{wheel.name} holds {name}, which git does not know: add it, or take it out of {SOURCE}"
    for name in sorted(tracked - packed):
        yield f"{wheel.name} lacks {name}, which git has"
    with tarfile.open(sdist) as archive:
        names = {PurePosixPath(*PurePosixPath(name).parts[1:]).as_posix() for name in archive.getnames()}
    for name in sorted(tracked):
        if f"src/{name}" not in names:
            yield f"{sdist.name} lacks src/{name}"


def wrong_page(wheel: Path) -> Iterator[str]:
    """Addresses of the page on PyPI that lead nowhere from there.

    Args:
        wheel: The wheel.
    """
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        page = archive.read(metadata).decode()
    for address in re.findall(r"\]\(([^)\s]+)\)", page):
        if not address.startswith(("https://", "#")):
            yield f"the page on PyPI leads to {address}; expected a whole address"


def wrong_wheel(wheel: Path, scratch: Path) -> Iterator[str]:
    """Where the wheel from the sdist is another than that from the tree.

    Args:
        wheel: The one from the sdist.
        scratch: Where the other one is.
    """
    ours, other = contents(wheel), contents(next((scratch / "from-tree").iterdir()))
    for name in sorted({*ours, *other}):
        if ours.get(name) != other.get(name):
            yield f"{name}: the wheel from the sdist and the one from the tree differ"


def contents(wheel: Path) -> dict[str, int]:
    """The checksum of each file in a wheel.

    Args:
        wheel: The wheel.
    """
    with zipfile.ZipFile(wheel) as archive:
        return {info.filename: info.CRC for info in archive.infolist()}


def tracked_files() -> set[str]:
    """What git knows of the package, as a wheel names it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", SOURCE], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return {name.removeprefix("src/") for name in listed.stdout.split("\0") if name}


def try_out(wheel: Path, environment: Path, scratch: Path) -> None:
    """Install the wheel without extras, and run the trial there, from a folder without the sources.

    Args:
        wheel: The wheel.
        environment: Where to install.
        scratch: Where to run.
    """
    began = time.perf_counter()
    programs = environment / ("Scripts" if sys.platform == "win32" else "bin")
    python = str(programs / "python")
    if not (environment / "pyvenv.cfg").exists():
        venv.create(environment, with_pip=True)
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*install, "-c", str(ROOT / "constraints.txt"), str(wheel)])
    run([*install, "--no-deps", "--force-reinstall", str(wheel)])  # an older one of this version may be there
    say(f"installed in {time.perf_counter() - began:.0f} s")
    shutil.copy(ROOT / "packaging" / "trial.py", scratch / "trial.py")
    run([str(programs / "attnscope"), "--version"], cwd=scratch)
    run([python, "-I", "trial.py"], cwd=scratch)


def tool(name: str, *arguments: str, quiet: bool = False) -> None:
    """Run one of the tools of packaging/requirements.txt.

    Args:
        name: Its module.
        *arguments: Its arguments.
        quiet: Show its output only if it fails.
    """
    # -P: not this folder's namesakes of what tools import; the folder packaging/ is one
    run([sys.executable, "-P" if sys.version_info >= (3, 11) else "-I", "-m", name, *arguments], quiet=quiet)


def run(command: list[str], *, cwd: Path | None = None, quiet: bool = False) -> None:
    """Run a command; end with 1 if it fails.

    Args:
        command: The command.
        cwd: Where.
        quiet: Show its output only if it fails.
    """
    done = subprocess.run(command, cwd=cwd, capture_output=quiet, text=True)
    if done.returncode:
        sys.exit(f"{done.stdout or ''}{done.stderr or ''}{' '.join(command)}: exit code {done.returncode}")


def say(line: str) -> None:
    """Print a line at once.

    Args:
        line: The line.
    """
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

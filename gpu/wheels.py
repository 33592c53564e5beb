"""Fill a folder with the wheels that a machine with a GPU and no network may lack: `./dev gpu-wheels FOLDER`.

The folder is checked: every wheel installs into an empty folder by the rules of that machine's Python, and whatever
a wheel needs is another one of them, in a version that fits, or is the machine's own (gpu/machine.txt).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path
from zipfile import ZipFile

from packaging.markers import default_environment
from packaging.requirements import Requirement

from gpu.packages import FOR_THE_MACHINE, HERE, PYTHON, canonical, install, named, pip

MOST_BYTES = 40_000_000
MACHINE = {
    **default_environment(),
    "python_version": PYTHON,
    "python_full_version": f"{PYTHON}.3",
    "implementation_name": "cpython",
    "os_name": "posix",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "extra": "",
}


def fill(folder: Path) -> None:
    """Download what gpu/wheels.txt names; wheels of other versions are taken away."""
    with tempfile.TemporaryDirectory() as fetched:
        pip(
            "download", "--no-deps", *FOR_THE_MACHINE, "--dest", fetched, "--requirement", HERE / "wheels.txt"
        )
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.whl"):
            old.unlink()
        for wheel in Path(fetched).glob("*.whl"):
            (folder / wheel.name).write_bytes(wheel.read_bytes())


def check(folder: Path) -> list[str]:
    """What is wrong with a filled folder, a line each; nothing where it will do."""
    wheels = {canonical(wheel.name.split("-")[0]): wheel for wheel in folder.glob("*.whl")}
    asked = named(HERE / "wheels.txt")
    own = named(HERE / "machine.txt")
    size = sum(wheel.stat().st_size for wheel in wheels.values())
    wrong = [f"{name} {version} is missing" for name, version in asked.items() if name not in wheels]
    wrong += [] if size < MOST_BYTES else [f"{size / 1e6:.0f} MB, more than {MOST_BYTES / 1e6:.0f} MB"]
    for name, wheel in wheels.items():
        for needed in needs(wheel):
            wrong += _unmet(name, needed, {**own, **asked})
    with tempfile.TemporaryDirectory() as empty:
        try:
            install(folder, Path(empty) / "site", *FOR_THE_MACHINE)
        except subprocess.CalledProcessError as error:
            wrong.append(f"the wheels do not install into an empty folder: {error.stderr.strip()}")
    return wrong


def needs(wheel: Path) -> Iterator[Requirement]:
    """What a wheel requires on the machine, extras left out."""
    with ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        headers = HeaderParser().parsestr(archive.read(name).decode())
    for text in headers.get_all("Requires-Dist") or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate(MACHINE):
            yield requirement


def _unmet(name: str, needed: Requirement, there: dict[str, str]) -> list[str]:
    version = there.get(canonical(needed.name))
    if version is None:
        if (name, canonical(needed.name)) in UNUSED:
            return []
        return [f"{name} needs {needed}, which is neither a wheel nor the machine's own"]
    if version and not needed.specifier.contains(version, prereleases=True):
        return [f"{name} needs {needed}, and there is {version}"]
    return []


UNUSED = {
    ("attention-map-diffusers", "torchvision"),  # imported only where it writes PNG files
    ("attention-map-diffusers", "ftfy"),  # never imported
    ("attention-map-diffusers", "protobuf"),  # of tokenizers that we do not use with it
    ("attention-map-diffusers", "sentencepiece"),
}
"""(wheel, what it requires): requirements that the stages do without."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="./dev gpu-wheels", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    try:
        fill(folder)
    except subprocess.CalledProcessError as error:
        sys.exit(f"gpu-wheels: pip can't fetch the wheels: {error.stderr.strip()}")
    if wrong := check(folder):
        sys.exit("gpu-wheels: " + "\n".join(wrong))
    wheels = list(folder.glob("*.whl"))
    size = sum(wheel.stat().st_size for wheel in wheels)
    print(
        f"{folder}: {len(wheels)} wheels, {size / 1e6:.0f} MB; install into an empty folder, nothing is missing"
    )


if __name__ == "__main__":
    main()

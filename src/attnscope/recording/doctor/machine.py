"""This machine: versions against those that attnscope supports, and the devices that torch can use."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from attnscope._version import __version__
from attnscope.probability.triton_support import why_not_triton
from attnscope.recording.obstacles.obstacle import Obstacle
from attnscope.storage.room import all_memory, free_memory

NEEDED = ("torch", "numpy", "safetensors", "pillow", "diffusers", "transformers")
"""Packages without which nothing can be captured."""
OTHERS = ("accelerate", "huggingface_hub", "triton", "matplotlib", "fastapi", "pandas", "xarray")
_REQUIREMENT = re.compile(r"([\w.-]+?)\s*(?:\[[^]]*\])?\s*((?:[<>=!~]=?\s*[\w.*]+\s*,?\s*)*)(?:;.*)?")
_BOUND = re.compile(r"(>=|<)\s*([\d.]+)")


@dataclass(frozen=True)
class Version:
    """One package.

    Attributes:
        name: The package.
        version: What is installed, None if it is not.
        supported: What attnscope takes, as pyproject.toml says it; "" for any.
        fits: Whether it is installed and supported.
        needed: Whether nothing can be captured without it.
    """

    name: str
    version: str | None
    supported: str
    fits: bool
    needed: bool


@dataclass(frozen=True)
class Device:
    """A device that torch can compute on.

    Attributes:
        name: As torch calls it.
        hardware: What it is.
        memory: Bytes, None if unknown.
        free: Bytes that are free, None if unknown.
        note: What attnscope can't do on it, or does in a slower way; "" if all is there.
    """

    name: str
    hardware: str
    memory: int | None
    free: int | None
    note: str = ""


def versions() -> tuple[Version, ...]:
    """Python, attnscope and the packages that it works with."""
    supported = _supported()
    python = importlib.metadata.metadata("attnscope")["Requires-Python"] or ""
    own = platform.python_version()
    return (
        Version("python", own, python, _fits(own, python), needed=True),
        Version("attnscope", __version__, "", fits=True, needed=True),
        *(_version(name, supported.get(name, "")) for name in (*NEEDED, *OTHERS)),
    )


def _version(name: str, supported: str) -> Version:
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Version(name, None, supported, fits=False, needed=name in NEEDED)
    return Version(name, version, supported, _fits(version, supported), needed=name in NEEDED)


def _supported() -> dict[str, str]:
    """Bounds by package, from what attnscope was installed with."""
    found: dict[str, str] = {}
    for requirement in importlib.metadata.requires("attnscope") or ():
        if re.search("extra == .dev", requirement):
            continue  # what its own tests need: an older Triton, as torch 2.4 to 2.6 ask for, is no obstacle
        match = _REQUIREMENT.fullmatch(requirement)
        if match is not None:
            found.setdefault(match[1].lower(), match[2].strip())
    return found


def _fits(version: str, bounds: str) -> bool:
    own = _numbers(version)
    return all(
        own >= _numbers(bound) if sign == ">=" else own < _numbers(bound)
        for sign, bound in _BOUND.findall(bounds)
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", re.split(r"[+a-z]", version)[0]))


def version_obstacles(found: tuple[Version, ...]) -> Iterator[Obstacle]:
    """Packages that are missing, or not supported.

    Args:
        found: What is installed.
    """
    for package in found:
        if package.version is None and package.needed:
            yield Obstacle(
                f"{package.name} is not installed", f'`pip install "{package.name}{package.supported}"`'
            )
        elif package.version is not None and not package.fits:
            asked = f"{package.name}{package.supported}"
            fix = (
                f'`pip install "{asked}"`' if package.name != "python" else f"use Python {package.supported}"
            )
            yield Obstacle(
                f"{package.name} {package.version} is not supported; expected {package.supported}", fix
            )


def devices() -> tuple[Device, ...]:
    """The CPU, then every GPU that torch can use."""
    memory, free = all_memory(), free_memory()
    cores = f"{os.cpu_count()} cores, {platform.machine()}, {torch.get_num_threads()} threads"
    cpu = Device("cpu", cores, memory, free, _gpu_without_cuda())
    return (cpu, *_cuda_devices(), *_mps_devices())


def _cuda_devices() -> Iterator[Device]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a driver that is too old: torch says it, and has no device
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for index in range(count):
        properties = torch.cuda.get_device_properties(index)
        free, memory = torch.cuda.mem_get_info(index)
        empty = torch.empty(0, dtype=torch.float16, device=f"cuda:{index}")
        why = why_not_triton(empty, empty)
        note = f"sums over attention are taken in row tiles: {why}" if why else ""
        yield Device(f"cuda:{index}", properties.name, memory, free, note)


def _mps_devices() -> Iterator[Device]:
    if torch.backends.mps.is_available():
        memory = int(torch.mps.recommended_max_memory())
        yield Device("mps", "Apple GPU", memory, memory - int(torch.mps.driver_allocated_memory()))


def _gpu_without_cuda() -> str:
    """What keeps torch from a GPU that is there."""
    if not Path("/proc/driver/nvidia/version").exists() or torch.cuda.is_available():
        return ""
    if torch.version.cuda is None:
        return "an NVIDIA GPU is there, but this torch was built without CUDA: see pytorch.org/get-started"
    return f"an NVIDIA GPU is there, but its driver is too old for CUDA {torch.version.cuda}"

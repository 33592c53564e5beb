"""What a run is of: the model's name and revision, and the versions of the libraries."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import re
from pathlib import Path
from typing import Any

from attnscope._version import __version__
from attnscope.atlas import DEMO_FOLDER

_PACKAGES = ("torch", "diffusers", "transformers", "safetensors", "numpy")


@functools.cache
def _versions() -> tuple[tuple[str, str], ...]:
    version_of = {"python": platform.python_version(), "attnscope": __version__}
    for package in _PACKAGES:
        try:
            version_of[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return tuple(version_of.items())


def versions() -> dict[str, str]:
    """Versions of Python, attnscope and the libraries that decide what a run computes."""
    return dict(_versions())


def model_and_revision(pipeline: Any, component: str) -> tuple[str | None, str | None]:
    """Hub id or path, and the commit of the hub's snapshot; None for what is unknown.

    Args:
        pipeline: The pipeline.
        component: Name of its denoising model.
    """
    name = getattr(pipeline, "name_or_path", None) or None
    source = str(getattr(getattr(getattr(pipeline, component, None), "config", None), "_name_or_path", ""))
    snapshot = re.search(r"snapshots[/\\]([0-9a-f]{40})", f"{name} {source}")
    if name is not None and Path(name) == DEMO_FOLDER:
        name = "demo"
    return name, snapshot.group(1) if snapshot else None

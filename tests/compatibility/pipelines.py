"""The pipelines that diffusers has, also the deprecated ones, and which of them denoise with what."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import warnings

import diffusers


@functools.cache
def pipeline_classes() -> dict[str, type]:
    """All of them, by their names."""
    found = set()
    for module in pkgutil.walk_packages(diffusers.pipelines.__path__, "diffusers.pipelines."):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                of_module = vars(importlib.import_module(module.name)).values()
            except ImportError:  # a helper that needs another package; pipelines themselves import without
                continue
        found |= {kind for kind in of_module if inspect.isclass(kind) and kind.__module__ == module.name}
    return {kind.__name__: kind for kind in found if issubclass(kind, diffusers.DiffusionPipeline)}


def pipelines_with_unet() -> list[str]:
    """Names of all pipelines that are made with a U-Net."""
    return sorted(name for name, kind in pipeline_classes().items() if _takes_unet(kind))


def pipelines_without_unet() -> list[str]:
    """Names of all others: those with a transformer, and those that denoise with nothing or with something else."""
    return sorted(name for name, kind in pipeline_classes().items() if not _takes_unet(kind))


def _takes_unet(kind: type) -> bool:
    parameters = inspect.signature(kind.__init__).parameters.values()
    return any(
        parameter.name.endswith("unet") or "UNet" in str(parameter.annotation) for parameter in parameters
    )

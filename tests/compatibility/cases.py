"""Every case, by its name, and the pipelines that are no case, with the reason."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import warnings

import diffusers

from compatibility import (
    options,
    patches,
    processors,
    runs,
    schedulers,
    zoo_cascade,
    zoo_control,
    zoo_kandinsky,
    zoo_others,
    zoo_pag,
    zoo_pixels,
    zoo_sound,
    zoo_stable_diffusion,
    zoo_unconditional,
    zoo_variants,
    zoo_video,
    zoo_xl,
)
from compatibility.case import Case

PIPELINES = (
    zoo_stable_diffusion,
    zoo_xl,
    zoo_control,
    zoo_pag,
    zoo_variants,
    zoo_others,
    zoo_pixels,
    zoo_kandinsky,
    zoo_cascade,
    zoo_video,
    zoo_sound,
    zoo_unconditional,
)
WAYS = (runs, options, processors, patches, schedulers)

NO_ONNX = "needs the package onnxruntime; the case 'a U-Net that is no module' stands for it"
NOT_HERE = {
    "AudioDiffusionPipeline": "needs the package librosa",
    "VersatileDiffusionDualGuidedPipeline": (
        "diffusers 0.42 can't run it: its DualTransformer2DModel gets an encoder_attention_mask and takes none"
    ),
    "OnnxStableDiffusionPipeline": NO_ONNX,
    "OnnxStableDiffusionImg2ImgPipeline": NO_ONNX,
    "OnnxStableDiffusionInpaintPipeline": NO_ONNX,
    "OnnxStableDiffusionInpaintPipelineLegacy": NO_ONNX,
    "OnnxStableDiffusionUpscalePipeline": NO_ONNX,
    "StableDiffusionOnnxPipeline": NO_ONNX,
}
"""Pipelines with a U-Net that can't be tried here."""


def _all_cases() -> dict[str, Case]:
    cases: dict[str, Case] = {}
    for kind in (*PIPELINES, *WAYS):
        for case in kind.CASES:
            if cases.setdefault(case.name, case) is not case:
                raise ValueError(f"two cases are called {case.name!r}")
    return cases


CASES = _all_cases()


def pipelines_with_unet() -> list[str]:
    """Names of all pipelines of diffusers, also the deprecated ones, that are made with a U-Net."""
    return sorted(kind.__name__ for kind in _pipeline_classes() if any(_takes_unet(kind)))


def _pipeline_classes() -> set[type]:
    found = set()
    for module in pkgutil.walk_packages(diffusers.pipelines.__path__, "diffusers.pipelines."):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                of_module = vars(importlib.import_module(module.name)).values()
            except ImportError:  # a helper that needs another package; pipelines themselves import without
                continue
        found |= {kind for kind in of_module if inspect.isclass(kind) and kind.__module__ == module.name}
    return {kind for kind in found if issubclass(kind, diffusers.DiffusionPipeline)}


def _takes_unet(kind: type) -> list[bool]:
    parameters = inspect.signature(kind.__init__).parameters.values()
    return [
        parameter.name.endswith("unet") or "UNet" in str(parameter.annotation) for parameter in parameters
    ]

"""Every case, by its name, and the pipelines that are no case, with the reason."""

from __future__ import annotations

from compatibility import (
    adapters,
    options,
    patches,
    processors,
    runs,
    schedulers,
    transformer_ways,
    zoo_cascade,
    zoo_control,
    zoo_edits,
    zoo_flux,
    zoo_kandinsky,
    zoo_language,
    zoo_others,
    zoo_pag,
    zoo_pictures,
    zoo_pixels,
    zoo_refused,
    zoo_sd3,
    zoo_sound,
    zoo_stable_diffusion,
    zoo_transformer_videos,
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
PICTURES = (zoo_sd3, zoo_flux, zoo_pictures, zoo_language, zoo_edits)
VIDEOS = (zoo_transformer_videos,)
WAYS = (runs, options, adapters, processors, patches, schedulers, transformer_ways)
PARTS = {
    "Pipelines with a U-Net": PIPELINES,
    "Transformers: pictures": PICTURES,
    "Transformers: videos": VIDEOS,
    "Models that are refused": (zoo_refused,),
    "Ways to run one": WAYS,
}
"""All tables, by the title that they stand under."""
TABLES = tuple(table for tables in PARTS.values() for table in tables)

NO_ONNX = "needs the package onnxruntime; the case 'a U-Net that is no module' stands for it"
ENLARGES = "enlarges latents without attention"
WRITES = "writes texts and makes no picture"
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
    "Cosmos2_5_TransferPipeline": "needs the package torchvision",
    "DiffusionPipeline": "the class that all others are made of",
    "FluxPriorReduxPipeline": "makes embeddings and no picture; the case 'FluxPipeline after Redux' is what follows",
    "LTXLatentUpsamplePipeline": ENLARGES,
    "LTX2LatentUpsamplePipeline": ENLARGES,
    "LTX2VideoDiffusionDecodePipeline": "decodes a video that another pipeline has made, and reads no text",
    "DiffusionGemmaPipeline": WRITES,
    "LLaDA2Pipeline": WRITES,
}
"""Pipelines that can't be tried here."""


def _all_cases() -> dict[str, Case]:
    cases: dict[str, Case] = {}
    for kind in TABLES:
        for case in kind.CASES:
            if cases.setdefault(case.name, case) is not case:
                raise ValueError(f"two cases are called {case.name!r}")
    return cases


CASES = _all_cases()

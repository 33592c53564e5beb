"""Pipelines whose models no family of attnscope takes. Only the model of each is made, and that without memory."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import diffusers
import torch
from diffusers.models import transformers

from compatibility.case import Case
from compatibility.pipelines import pipeline_classes

GROUP = "Models that are not known"
MODELS = {
    "AceStepTransformer1DModel": ("AceStepPipeline",),
    "AnyFlowFARTransformer3DModel": ("AnyFlowFARPipeline",),
    "AnyFlowTransformer3DModel": ("AnyFlowPipeline",),
    "BriaFibo2Transformer2DModel": ("BriaFibo2Pipeline",),
    "BriaFiboTransformer2DModel": ("BriaFiboPipeline", "BriaFiboEditPipeline"),
    "ChronoEditTransformer3DModel": ("ChronoEditPipeline",),
    "ConsisIDTransformer3DModel": ("ConsisIDPipeline",),
    "Cosmos3OmniTransformer": ("Cosmos3OmniPipeline",),
    "DiTTransformer2DModel": ("DiTPipeline",),
    "EasyAnimateTransformer3DModel": (
        "EasyAnimatePipeline", "EasyAnimateControlPipeline", "EasyAnimateInpaintPipeline",
    ),
    "ErnieImageTransformer2DModel": ("ErnieImagePipeline",),
    "GlmImageTransformer2DModel": ("GlmImagePipeline",),
    "HeliosTransformer3DModel": ("HeliosPipeline", "HeliosPyramidPipeline"),
    "HiDreamImageTransformer2DModel": ("HiDreamImagePipeline",),
    "HunyuanImageTransformer2DModel": ("HunyuanImagePipeline", "HunyuanImageRefinerPipeline"),
    "HunyuanVideo15Transformer3DModel": ("HunyuanVideo15Pipeline", "HunyuanVideo15ImageToVideoPipeline"),
    "HunyuanVideoFramepackTransformer3DModel": ("HunyuanVideoFramepackPipeline",),
    "Ideogram4Transformer2DModel": ("Ideogram4Pipeline",),
    "JoyImageEditTransformer3DModel": ("JoyImageEditPipeline",),
    "JoyImageEditPlusTransformer3DModel": ("JoyImageEditPlusPipeline",),
    "Kandinsky5Transformer3DModel": (
        "Kandinsky5T2IPipeline", "Kandinsky5I2IPipeline", "Kandinsky5T2VPipeline", "Kandinsky5I2VPipeline",
    ),
    "Kandinsky6Transformer3DModel": ("Kandinsky6TI2VAPipeline",),
    "Kandinsky6SRTransformer3DModel": ("Kandinsky6SRPipeline",),
    "Krea2Transformer2DModel": ("Krea2Pipeline",),
    "LTX2VideoTransformer3DModel": (
        "LTX2Pipeline", "LTX2ImageToVideoPipeline", "LTX2ConditionPipeline", "LTX2InContextPipeline",
        "LTX2HDRPipeline", "LTX2DFRPipeline", "LTX2DFRTemporalRefinePipeline",
    ),
    "LatteTransformer3DModel": ("LattePipeline",),
    "LongCatAudioDiTTransformer": ("LongCatAudioDiTPipeline",),
    "MotifVideoTransformer3DModel": ("MotifVideoPipeline", "MotifVideoImage2VideoPipeline"),
    "NucleusMoEImageTransformer2DModel": ("NucleusMoEImagePipeline",),
    "OmniGenTransformer2DModel": ("OmniGenPipeline",),
    "QwenImage21Transformer2DModel": ("QwenImage21Pipeline",),
    "RFD4ProteinaTransformer": ("RFD4ProteinaPipeline",),
    "SanaVideoTransformer3DModel": ("SanaVideoPipeline", "SanaImageToVideoPipeline"),
    "SanaWMTransformer3DModel": ("SanaWMPipeline",),
    "SanaWMLTX2RefinerTransformer3DModel": ("SanaWMLTX2Refiner",),
    "StableAudioDiTModel": ("StableAudioPipeline",),
    "StableAudio3DiTModel": (
        "StableAudio3Pipeline", "StableAudio3AudioToAudioPipeline", "StableAudio3InpaintPipeline",
    ),
    "T5FilmDecoder": ("SpectrogramDiffusionPipeline",),
    "Transformer2DModel": ("VQDiffusionPipeline",),
    "UVit2DModel": ("AmusedPipeline", "AmusedImg2ImgPipeline", "AmusedInpaintPipeline"),
    "WanAnimateTransformer3DModel": ("WanAnimatePipeline",),
    "WanVACETransformer3DModel": ("WanVACEPipeline",),
    "PriorTransformer": (
        "KandinskyPriorPipeline", "KandinskyV22PriorPipeline", "KandinskyV22PriorEmb2EmbPipeline", "ShapEPipeline",
        "ShapEImg2ImgPipeline",
    ),
    "WuerstchenPrior": ("WuerstchenPriorPipeline",),
    "WuerstchenDiffNeXt": ("WuerstchenDecoderPipeline", "WuerstchenCombinedPipeline"),
}  # fmt: skip
COMPONENTS = {
    "PriorTransformer": "prior",
    "WuerstchenPrior": "prior",
    "WuerstchenDiffNeXt": "decoder",
    "T5FilmDecoder": "decoder",
}
"""Where a pipeline holds it, if that is not its `transformer`."""
_SMALL = {
    "num_attention_heads": 2,
    "attention_head_dim": 8,
    "num_layers": 1,
    "in_channels": 4,
    "patch_size": 2,
}
_HIDDEN: dict[str, Any] = {"num_hidden_layers": 1}
OPTIONS: dict[str, dict[str, Any]] = {
    "AceStepTransformer1DModel": _HIDDEN,
    "BriaFibo2Transformer2DModel": {},
    "Cosmos3OmniTransformer": _HIDDEN,
    "EasyAnimateTransformer3DModel": {**_SMALL, "out_channels": 4, "mmdit_layers": 1},
    "HiDreamImageTransformer2DModel": {
        **_SMALL, "num_single_layers": 1, "caption_channels": [8, 8], "text_emb_dim": 8, "axes_dims_rope": (4, 2, 2),
        "max_resolution": (16, 16), "llama_layers": [0, 0],
    },
    "Kandinsky5Transformer3DModel": {},
    "Kandinsky6SRTransformer3DModel": {},
    "Kandinsky6Transformer3DModel": {},
    "LatteTransformer3DModel": {**_SMALL, "out_channels": 4, "sample_size": 8, "caption_channels": 8},
    "LongCatAudioDiTTransformer": {},
    "OmniGenTransformer2DModel": {
        "num_layers": 1, "rope_scaling": {"short_factor": [1.0] * 48, "long_factor": [1.0] * 48},
    },
    "RFD4ProteinaTransformer": {},
    "StableAudio3DiTModel": {"depth": 1},
    "Transformer2DModel": {"num_layers": 1, "num_vector_embeds": 8, "sample_size": 4, "num_embeds_ada_norm": 10},
    "UVit2DModel": _HIDDEN,
    "WanVACETransformer3DModel": {"num_layers": 1, "vace_layers": [0]},
    "WuerstchenDiffNeXt": {"blocks": [1, 1, 1, 1]},
    "WuerstchenPrior": {"depth": 1},
}  # fmt: skip
"""Of a model, if it is not one layer."""


def holding_only(pipeline: str, model: str) -> Callable[[], Any]:
    """What makes a pipeline that has its model and nothing else.

    Args:
        pipeline: Its class.
        model: The model's class.
    """

    def build() -> Any:
        kind = pipeline_classes()[pipeline]
        places = (transformers, diffusers, sys.modules[kind.__module__])
        of_model = next(found for place in places if (found := getattr(place, model, None)) is not None)
        with torch.device("meta"):
            made = of_model(**OPTIONS.get(model, {"num_layers": 1}))
        pipe = kind.__new__(kind)
        pipe.register_modules(**{COMPONENTS.get(model, "transformer"): made})
        return pipe

    return build


def _must_not_run(pipe: Any) -> Any:
    raise AssertionError(f"a capture of {type(pipe).__name__} is not refused")


CASES = [
    Case(pipeline, GROUP, holding_only(pipeline, model), _must_not_run)
    for model, pipelines in MODELS.items()
    for pipeline in pipelines
]

"""How diffusers' pipelines lay out the batch of their U-Net, where the text embeddings do not tell it.

Many pipelines decide on guidance in a variable of their `__call__`, encode pictures or encode in a private method. Each
entry was read in the pipeline's source and is run by a test. A rule counts for the class whose `__call__` (or other
method) runs, so a subclass with a `__call__` of its own is not taken for its parent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from attnscope.atlas.families import without_adapters
from attnscope.errors import CaptureError
from attnscope.recording.calling.callers import Caller, defining_class

Variables = Mapping[str, Any]
DENOISERS = ("unet", "decoder", "image_unet")
"""Attributes of pipelines that hold the model whose batch the rules describe."""
Layout = Callable[[Any, Variables], tuple[str, ...]]
"""layout(pipeline, variables of its call) gives the branches in the batch's order; each holds all images."""

UNCOND, COND = "uncond", "cond"


def layout_of(caller: Caller, model: nn.Module) -> Layout | None:
    """The rule for a call of a pipeline; None for one that is not known, or where the model is not its denoiser.

    Args:
        caller: The call.
        model: The model that is called.
    """
    if all(without_adapters(getattr(caller.pipeline, name, None)) is not model for name in DENOISERS):
        return None
    name = defining_class(caller)
    return _SPECIAL.get(name) or _OTHER.get(name) or (branches_while_guiding if name in _USUAL else None)


def is_above_embeddings(caller: Caller) -> bool:
    """Whether the rule is asked before the text embeddings, which would mislead.

    Args:
        caller: The call.
    """
    return defining_class(caller) in _SPECIAL


def reads_its_prompt(caller: Caller) -> bool:
    """Whether a pipeline encodes its variable `prompt` within its own call, where no method of it tells.

    Args:
        caller: The call.
    """
    return defining_class(caller) in ("LDMTextToImagePipeline", "SemanticStableDiffusionPipeline")


def looks_again(caller: Caller | None) -> bool:
    """Whether all calls of the model in a step but the first one are for something else than its prediction.

    Args:
        caller: The call of the pipeline, None by hand.
    """
    return caller is not None and defining_class(caller) == "StableDiffusionSAGPipeline"


def image_under_way(caller: Caller | None) -> int | None:
    """Number of the image that a call of the model with gradients is for, where a pipeline takes one after the other.

    Args:
        caller: The call of the pipeline, None by hand.
    """
    if caller is None or defining_class(caller) != "StableDiffusionAttendAndExcitePipeline":
        return None
    return len(caller.variables["updated_latents"]) if torch.is_grad_enabled() else None


def calls_once(caller: Caller) -> bool:
    """Whether the method calls its model once only, whatever its list of timesteps.

    Args:
        caller: The call of the pipeline.
    """
    return defining_class(caller) == "StableDiffusionDiffEditPipeline.generate_mask"


def gives_noise_levels(caller: Caller | None) -> bool:
    """Whether a pipeline gives its model levels of noise, and each entry of the scheduler's list is a step.

    Args:
        caller: The call of the pipeline, None by hand.
    """
    return caller is not None and defining_class(caller) in ("KarrasVePipeline", "ScoreSdeVePipeline")


def step_timestep(caller: Caller | None, timestep: Any) -> Any:
    """The timestep that stands in the scheduler's list.

    Args:
        caller: The call of the pipeline, None by hand.
        timestep: As the model got it.
    """
    return caller.variables["t"] if caller is not None and gives_noise_levels(caller) else timestep


def is_unguided(caller: Caller) -> bool:
    """Whether this method of a diffusers pipeline knows no guidance at all: it has no parameter for it.

    Args:
        caller: The call.
    """
    code = caller.frame.f_code
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    of_library = caller.frame.f_globals.get("__name__", "").startswith("diffusers.")
    return of_library and not any("guidance" in name for name in names)


def _guides(pipeline: Any, variables: Variables) -> bool:
    """Whether the call uses classifier-free guidance: its variable says it, or else the pipeline's property."""
    if "do_classifier_free_guidance" in variables:
        return bool(variables["do_classifier_free_guidance"])
    return bool(getattr(pipeline, "do_classifier_free_guidance", False))


def branches_while_guiding(pipeline: Any, variables: Variables) -> tuple[str, ...]:
    """'uncond' and 'cond' in one batch while the pipeline guides, else 'cond'.

    Args:
        pipeline: The pipeline.
        variables: Of its call.
    """
    return (UNCOND, COND) if _guides(pipeline, variables) else (COND,)


def _conditional(pipeline: Any, variables: Variables) -> tuple[str, ...]:
    return (COND,)


def branches_with_perturbed(pipeline: Any, variables: Variables) -> tuple[str, ...]:
    """Those of `branches_while_guiding`, then 'perturbed' while the pipeline guides by perturbed attention (PAG).

    Args:
        pipeline: The pipeline.
        variables: Of its call.
    """
    rows = branches_while_guiding(pipeline, variables)
    return (*rows, "perturbed") if getattr(pipeline, "do_perturbed_attention_guidance", False) else rows


def _instruct_pix2pix(pipeline: Any, variables: Variables) -> tuple[str, ...]:
    return (COND, "image", UNCOND) if _guides(pipeline, variables) else (COND,)


def _safe(pipeline: Any, variables: Variables) -> tuple[str, ...]:
    rows = branches_while_guiding(pipeline, variables)
    return (*rows, "safety") if variables["enable_safety_guidance"] else rows


def _semantic(pipeline: Any, variables: Variables) -> tuple[str, ...]:
    if not _guides(pipeline, variables):
        return (COND,)
    return (UNCOND, COND, *_edits(variables["enabled_editing_prompts"]))


def _ledits(pipeline: Any, variables: Variables) -> tuple[str, ...]:
    edits = pipeline.enabled_editing_prompts if variables["enable_edit_guidance"] else 0
    return (UNCOND, *_edits(edits))


def _edits(count: int) -> tuple[str, ...]:
    return ("edit",) if count == 1 else tuple(f"edit{number}" for number in range(count))


def _inverted(pipeline: Any, variables: Variables) -> tuple[str, ...]:
    return (UNCOND, COND) if _guides(pipeline, variables) else (UNCOND,)


def _inverted_one_by_one(pipeline: Any, variables: Variables) -> tuple[str, ...]:
    """Only where the source prompt is empty; otherwise the embeddings tell which of its two texts a call reads."""
    return (UNCOND,)


def _latent_diffusion(pipeline: Any, variables: Variables) -> tuple[str, ...]:
    return (COND,) if variables["guidance_scale"] == 1.0 else (UNCOND, COND)


def _cycle(pipeline: Any, variables: Variables) -> tuple[str, ...]:
    guides = _guides(pipeline, variables)
    return ("source_uncond", UNCOND, "source", COND) if guides else ("source", COND)


def _mask_of_diffedit(pipeline: Any, variables: Variables) -> tuple[str, ...]:
    """Its variables are named the other way round: what `encode_prompt` gives first is that of the prompt."""
    guides = _guides(pipeline, variables)
    return ("source", "source_uncond", COND, UNCOND) if guides else ("source_uncond", UNCOND)


def _dreamlite(pipeline: Any, variables: Variables) -> tuple[str, ...]:
    return (UNCOND, COND) if variables["task"] == "generate" else (UNCOND, "image", COND)


def _panorama(pipeline: Any, variables: Variables) -> tuple[str, ...]:
    rows = branches_while_guiding(pipeline, variables)
    if variables["vb_size"] > 1 or variables["latents"].shape[0] > 1:
        raise CaptureError(
            "StableDiffusionPanoramaPipeline puts several views or pictures into one batch, and mixes their rows: run "
            "one picture at a time, with view_batch_size=1"
        )
    return rows


def _several_steps(pipeline: Any, variables: Variables) -> tuple[str, ...]:
    raise CaptureError(
        "StableDiffusionParadigmsPipeline computes several steps in one batch, so no row belongs to the step of the "
        "call: capture a StableDiffusionPipeline of the same parts, StableDiffusionPipeline(**pipe.components)"
    )


_PERTURBING = """
AnimateDiffPAGPipeline KolorsPAGPipeline StableDiffusionControlNetPAGInpaintPipeline
StableDiffusionControlNetPAGPipeline StableDiffusionPAGImg2ImgPipeline StableDiffusionPAGInpaintPipeline
StableDiffusionPAGPipeline StableDiffusionXLControlNetPAGImg2ImgPipeline StableDiffusionXLControlNetPAGPipeline
StableDiffusionXLPAGImg2ImgPipeline StableDiffusionXLPAGInpaintPipeline StableDiffusionXLPAGPipeline
"""

_SPECIAL: dict[str, Layout] = {
    "CycleDiffusionPipeline": _cycle,
    "DreamLiteMobilePipeline": _conditional,
    "DreamLitePipeline": _dreamlite,
    "LDMTextToImagePipeline": _latent_diffusion,
    "LEditsPPPipelineStableDiffusion": _ledits,
    "LEditsPPPipelineStableDiffusionXL": _ledits,
    "LEditsPPPipelineStableDiffusionXL.invert": _inverted,
    "SemanticStableDiffusionPipeline": _semantic,
    "StableDiffusionDiffEditPipeline.generate_mask": _mask_of_diffedit,
    "StableDiffusionInstructPix2PixPipeline": _instruct_pix2pix,
    "StableDiffusionPanoramaPipeline": _panorama,
    "StableDiffusionParadigmsPipeline": _several_steps,
    "StableDiffusionPipelineSafe": _safe,
    "StableDiffusionXLInstructPix2PixPipeline": _instruct_pix2pix,
    **dict.fromkeys(_PERTURBING.split(), branches_with_perturbed),
}

_OTHER: dict[str, Layout] = {"LEditsPPPipelineStableDiffusion.invert": _inverted_one_by_one}

_NAMES = """
AltDiffusionImg2ImgPipeline AltDiffusionPipeline AnimateDiffControlNetPipeline AnimateDiffPipeline
AnimateDiffSDXLPipeline AnimateDiffSparseControlNetPipeline AnimateDiffVideoToVideoControlNetPipeline
AnimateDiffVideoToVideoPipeline AudioLDM2Pipeline AudioLDMPipeline BlipDiffusionControlNetPipeline
BlipDiffusionPipeline I2VGenXLPipeline IFImg2ImgPipeline IFImg2ImgSuperResolutionPipeline IFInpaintingPipeline
IFInpaintingSuperResolutionPipeline IFPipeline IFSuperResolutionPipeline Kandinsky3Img2ImgPipeline
Kandinsky3Pipeline KandinskyImg2ImgPipeline KandinskyInpaintPipeline KandinskyPipeline
KandinskyV22ControlnetImg2ImgPipeline KandinskyV22ControlnetPipeline KandinskyV22Img2ImgPipeline
KandinskyV22InpaintPipeline KandinskyV22Pipeline KolorsImg2ImgPipeline KolorsPipeline
LatentConsistencyModelImg2ImgPipeline LatentConsistencyModelPipeline MusicLDMPipeline PIAPipeline
PaintByExamplePipeline StableDiffusionAdapterPipeline StableDiffusionControlNetImg2ImgPipeline
StableDiffusionControlNetInpaintPipeline StableDiffusionControlNetPipeline StableDiffusionControlNetXSPipeline
StableDiffusionDepth2ImgPipeline StableDiffusionDiffEditPipeline StableDiffusionDiffEditPipeline.invert
StableDiffusionGLIGENPipeline StableDiffusionGLIGENTextImagePipeline StableDiffusionImageVariationPipeline
StableDiffusionImg2ImgPipeline StableDiffusionInpaintPipeline StableDiffusionInpaintPipelineLegacy
StableDiffusionLDM3DPipeline StableDiffusionLatentUpscalePipeline StableDiffusionModelEditingPipeline
StableDiffusionPipeline StableDiffusionPix2PixZeroPipeline StableDiffusionPix2PixZeroPipeline.invert
StableDiffusionUpscalePipeline StableDiffusionXLAdapterPipeline StableDiffusionXLControlNetImg2ImgPipeline
StableDiffusionXLControlNetInpaintPipeline StableDiffusionXLControlNetPipeline
StableDiffusionXLControlNetUnionImg2ImgPipeline StableDiffusionXLControlNetUnionInpaintPipeline
StableDiffusionXLControlNetUnionPipeline StableDiffusionXLControlNetXSPipeline StableDiffusionXLImg2ImgPipeline
StableDiffusionXLInpaintPipeline StableDiffusionXLPipeline StableUnCLIPImg2ImgPipeline StableUnCLIPPipeline
StableVideoDiffusionPipeline TextToVideoSDPipeline TextToVideoZeroPipeline TextToVideoZeroSDXLPipeline
UnCLIPImageVariationPipeline UnCLIPPipeline VersatileDiffusionDualGuidedPipeline
VersatileDiffusionImageVariationPipeline VersatileDiffusionTextToImagePipeline VideoToVideoSDPipeline
"""
_USUAL = frozenset(_NAMES.split())
"""Pipelines whose rows are 'uncond' and 'cond' while they guide, and 'cond' alone while they do not."""

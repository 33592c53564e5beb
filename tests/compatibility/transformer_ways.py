"""Ways to run a transformer's pipeline, each with Stable Diffusion 3, Flux and PixArt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import diffusers
import torch
from diffusers.models import attention_dispatch, embeddings
from diffusers.models.transformers import transformer_flux

from compatibility.case import NEGATIVE, PROMPT, Case
from compatibility.transformer_parts import DEFAULT, KNOWN, case, made_by
from transformer_cases import BOTH, ONE, OTHER

GROUP = "Stable Diffusion 3, Flux and PixArt"
TWO = (("cond",), ("uncond",))


@dataclass(frozen=True)
class Family:
    """One of the three: its pipeline, and how that is guided and how it is not."""

    short: str
    pipeline: str
    guided: dict[str, Any]
    branches: tuple[tuple[str, ...], ...]
    alone: dict[str, Any]


SD3 = Family("SD3", "StableDiffusion3Pipeline", {"negative_prompt": NEGATIVE}, BOTH, {"guidance_scale": 1.0})
FLUX = Family("Flux", "FluxPipeline", {"true_cfg_scale": 4.0, "negative_prompt": NEGATIVE}, TWO, {})
PIXART = Family("PixArt", "PixArtAlphaPipeline", {"negative_prompt": NEGATIVE}, BOTH, {"guidance_scale": 1.0})


def way(
    family: Family, name: str, call: Any = None, *, change: Any = None, model: Any = None, **truth: Any
) -> Case:
    """The family's own pipeline, guided, with `model` as options of its transformer, after `change` has changed it."""
    known = KNOWN[family.pipeline]

    def build() -> Any:
        pipe = made_by(known.make, **(model or {}))
        return (change(pipe) or pipe) if change is not None else pipe

    truth = {"branches": family.branches, **truth}
    return case(f"{family.short}: {name}", GROUP, known, build, {**family.guided, **(call or {})}, **truth)


def _half(dtype: torch.dtype) -> Callable[[Any], Any]:
    return lambda pipe: pipe.to(dtype)


def _offloaded(pipe: Any) -> None:
    from accelerate import cpu_offload

    cpu_offload(pipe.transformer, execution_device=torch.device("cpu"))


def _in_groups(pipe: Any) -> None:
    cpu = torch.device("cpu")
    pipe.transformer.enable_group_offload(onload_device=cpu, offload_device=cpu, offload_type="leaf_level")


def _layerwise(pipe: Any) -> None:
    pipe.transformer.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32)


def _quantised(pipe: Any) -> None:
    pipe.transformer = torch.ao.quantization.quantize_dynamic(
        pipe.transformer, {torch.nn.Linear}, dtype=torch.qint8
    )


def _fused(pipe: Any) -> None:
    pipe.transformer.fuse_qkv_projections()


def _on(backend: str) -> Callable[[Any], None]:
    return lambda pipe: pipe.transformer.set_attention_backend(backend)


@contextmanager
def _backend_again() -> Iterator[None]:
    """What is chosen for one model is chosen for all."""
    registry = attention_dispatch._AttentionBackendRegistry
    before = registry.get_active_backend()[0]
    try:
        yield
    finally:
        registry.set_active_backend(before)


def _scheduled(kind: Any, **options: Any) -> Callable[[Any], None]:
    def change(pipe: Any) -> None:
        pipe.scheduler = kind.from_config(pipe.scheduler.config, **options)

    return change


def _edit(pipe: Any, step: int, timestep: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    return {"prompt_embeds": kwargs["prompt_embeds"] * 0.5}


EDITED = {"callback_on_step_end": _edit, "callback_on_step_end_tensor_inputs": ["prompt_embeds"]}


def _look(pipe: Any, step: int, timestep: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    return {"latents": kwargs["latents"].clone()}


CALLED_BACK = {"callback_on_step_end": _look}


def _of_each(family: Family) -> list[Case]:
    """Ways that all three have."""
    one = {"negative_prompt": DEFAULT, "true_cfg_scale": DEFAULT, **family.alone}
    return [
        way(family, "without guidance", one, branches=ONE),
        way(
            family, "two prompts", {"prompt": [PROMPT, OTHER], "negative_prompt": [NEGATIVE, OTHER]}, images=2
        ),
        way(family, "two images a prompt", {"num_images_per_prompt": 2}, images=2),
        way(
            family,
            "two prompts, two images each",
            {"prompt": [PROMPT, OTHER], "negative_prompt": [NEGATIVE, OTHER], "num_images_per_prompt": 2},
            images=4,
        ),
        way(family, "prompt and negative prompt alike", {"negative_prompt": PROMPT}),
        way(family, "float16", change=_half(torch.float16)),
        way(family, "bfloat16", change=_half(torch.bfloat16)),
        way(family, "layerwise casting to float8", change=_layerwise),
        way(family, "dynamically quantised transformer", change=_quantised),
        way(family, "accelerate's offloading hooks", change=_offloaded),
        way(family, "group offloading", change=_in_groups),
        way(family, "the transformer is captured, its pipeline runs", watched=lambda pipe: pipe.transformer),
        way(family, "the last step alone", options={"steps": [-1]}, steps=1),
        way(family, "cross-attention alone", options={"kind": "cross"}),
        way(family, "self-attention alone", options={"kind": "self"}),
        way(family, "the prompt's branch alone", options={"branch": "cond"}),
        way(family, "two blocks alone", options={"blocks": [1, 2]}),
        way(family, "kept as float16", options={"dtype": torch.float16}, tolerance=2e-2),
    ]


def _with_callbacks(family: Family) -> list[Case]:
    return [
        way(family, "a callback", CALLED_BACK),
        way(family, "a callback edits embeddings", EDITED),
    ]


ROUNDED = {"tolerance": 3e-5}
"""Latents that some schedulers begin with make scores so large that float32 has no more digits."""


def _first_of_two(count: int) -> list[int]:
    return list(range(0, count, 2))


def _with_scheduler(family: Family, kind: Any, **truth: Any) -> Case:
    return way(
        family,
        kind.__name__,
        {"num_inference_steps": 3},
        change=_scheduled(kind),
        steps=3,
        **ROUNDED,
        **truth,
    )


def _adapted(pipe: Any) -> None:
    """Two random IP-Adapters on the double blocks, as `load_ip_adapter` puts them there."""
    model, flux = pipe.transformer, transformer_flux
    torch.manual_seed(0)
    processors = {
        name: flux.FluxIPAdapterAttnProcessor(16, 24, num_tokens=(4, 4), scale=[0.7, 0.7])
        if name.startswith("transformer_blocks")
        else flux.FluxAttnProcessor()
        for name in model.attn_processors
    }
    model.set_attn_processor(processors)
    projections = [embeddings.ImageProjection(20, 24, num_image_text_embeds=4) for _ in range(2)]
    model.encoder_hid_proj = embeddings.MultiIPAdapterImageProjection(projections)


def _pictures() -> dict[str, Any]:
    made = torch.Generator().manual_seed(1)
    names = ("ip_adapter_image_embeds", "negative_ip_adapter_image_embeds")
    return {name: [torch.randn(1, 1, 20, generator=made) for _ in range(2)] for name in names}


def _after_redux() -> Case:
    """What the prior makes of a text and a picture: embeddings of the one, and those of the other behind them."""
    made = torch.Generator().manual_seed(0)
    call = {
        "prompt": None, "prompt_embeds": torch.randn(1, 21, 32, generator=made),
        "pooled_prompt_embeds": torch.randn(1, 16, generator=made),
    }  # fmt: skip
    known = replace(KNOWN[FLUX.pipeline], tokens={"text": 21}, cat=(3,))
    return case(
        "FluxPipeline after Redux", GROUP, known, lambda: made_by(known.make), call, branches=ONE, word=3
    )


def _without_t5(pipe: Any) -> Any:
    parts = {**pipe.components, "text_encoder_3": None, "tokenizer_3": None}
    made = diffusers.StableDiffusion3Pipeline(**parts)
    made.set_progress_bar_config(disable=True)
    return made


def _skipping_rows(number: int) -> Any:
    """The second of three steps has another call, without a layer."""
    return (("perturbed", 0),) if number == 2 else (("uncond", 0), ("cond", 0))


SKIPS = {
    "skip_guidance_layers": [1], "skip_layer_guidance_start": 0.1, "skip_layer_guidance_stop": 0.5,
    "num_inference_steps": 3,
}  # fmt: skip
FLOW_LCM = diffusers.FlowMatchLCMScheduler
EVEN = ("DDIMScheduler", "EulerDiscreteScheduler", "UniPCMultistepScheduler")

CASES = [
    *(case for family in (SD3, FLUX, PIXART) for case in _of_each(family)),
    *(case for family in (SD3, FLUX) for case in _with_callbacks(family)),
    *(_with_scheduler(family, FLOW_LCM) for family in (SD3, FLUX)),
    _with_scheduler(SD3, diffusers.FlowMatchHeunDiscreteScheduler, mains=_first_of_two),
    *(_with_scheduler(PIXART, getattr(diffusers, name)) for name in EVEN),
    _with_scheduler(PIXART, diffusers.HeunDiscreteScheduler, mains=_first_of_two),
    way(SD3, "fused projections", change=_fused, model={"dual_attention_layers": ()}),
    way(FLUX, "fused projections", change=_fused),
    way(PIXART, "fused projections", change=_fused),
    *(
        way(FLUX, f"attention backend {name}", change=_on(name), around=_backend_again)
        for name in ("native", "_native_math", "_native_flash", "flex")
    ),
    way(SD3, "without T5", change=_without_t5, tokens=(3,)),
    way(
        SD3,
        "skip-layer guidance",
        SKIPS,
        rows=_skipping_rows,
        mains=lambda count: [0, 1, 3],
        steps=3,
    ),
    way(FLUX, "two IP-Adapters", _pictures(), change=_adapted),
    way(FLUX, "guidance embedded", model={"guidance_embeds": True}),
    _after_redux(),
]

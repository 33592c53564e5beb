"""Ways to call and to change one pipeline: plain Stable Diffusion with an option, an adapter, a patch or a hook."""

from __future__ import annotations

from typing import Any

import diffusers
import torch
from torch import nn

from compatibility.case import NEGATIVE, PROMPT, Case
from compatibility.image_adapters import two_adapters, with_adapter
from compatibility.parts import (
    HEIGHT,
    WIDE,
    WIDTH,
    add_lora,
    controlnet,
    generator,
    picture,
    stable_diffusion,
    tokenizer,
)
from compatibility.zoo_stable_diffusion import sized

GROUP = "Options of one pipeline"


def plain(**parts: Any) -> Any:
    """Stable Diffusion.

    Args:
        **parts: Components to change.
    """
    return stable_diffusion(diffusers.StableDiffusionPipeline, **parts)


def option(
    name: str, run: Any = None, *, change: Any = None, parts: Any = dict, group: str = GROUP, **truth: Any
) -> Case:
    """Plain Stable Diffusion, called by `run`, after `change` has changed the pipeline."""

    def build() -> Any:
        pipe = plain(**parts())
        return (change(pipe) or pipe) if change is not None else pipe

    return Case(name, group, build, run or sized(), **truth)


def encoded(prompt: str) -> Any:
    """A text's embeddings by the tiny text encoder that every pipeline here has."""

    def make(pipe: Any) -> Any:
        ids = tokenizer()(prompt, padding="max_length", return_tensors="pt").input_ids
        with torch.no_grad():
            return pipe.text_encoder(ids).last_hidden_state

    return make


def _with_embeds(pipe: Any) -> Any:
    embeds = {"prompt_embeds": encoded(PROMPT)(pipe), "negative_prompt_embeds": encoded(NEGATIVE)(pipe)}
    return sized(None, negative_prompt="default", **embeds)(pipe)


def _guidance_ends(pipe: Any) -> Any:
    def end(pipe: Any, step: int, timestep: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        pipe._guidance_scale = 0.0
        return {"prompt_embeds": kwargs["prompt_embeds"].chunk(2)[-1]}

    return sized(
        callback_on_step_end=lambda: end, callback_on_step_end_tensor_inputs=lambda: ["prompt_embeds"]
    )(pipe)


def _edited_embeds(pipe: Any) -> Any:
    def edit(pipe: Any, step: int, timestep: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        return {"prompt_embeds": kwargs["prompt_embeds"] * 0.5}

    return sized(
        callback_on_step_end=lambda: edit, callback_on_step_end_tensor_inputs=lambda: ["prompt_embeds"]
    )(pipe)


def _ends_rows(call: int) -> Any:
    return (("uncond", 0), ("cond", 0)) if call == 0 else (("cond", 0),)


def _of_two(call: int) -> Any:
    return tuple((branch, image) for branch in ("uncond", "cond") for image in range(2))


def old_name(pipe: Any) -> None:
    """diffusers reads the name that CLIP's text model had before transformers 5."""
    vars(pipe.text_encoder)["text_model"] = pipe.text_encoder


def _inversion(pipe: Any) -> Any:
    from copy import deepcopy

    pipe.tokenizer = deepcopy(pipe.tokenizer)
    vectors = torch.randn(2, WIDE, generator=generator(9))
    pipe.load_textual_inversion({"<toy>": vectors})
    return pipe


def hypernetwork(pipe: Any) -> None:
    """A1111's: what to_k and to_v read of the text goes through a small network first."""
    for name, module in pipe.unet.named_modules():
        if name.endswith("attn2"):
            small = nn.Linear(WIDE, WIDE)
            module.to_k.register_forward_pre_hook(lambda _, args, small=small: (args[0] + small(args[0]),))


def freeu(pipe: Any) -> None:
    pipe.enable_freeu(s1=0.9, s2=0.2, b1=1.2, b2=1.4)


def _half(dtype: torch.dtype) -> Any:
    return lambda pipe: pipe.to(dtype)


def channels_last(pipe: Any) -> None:
    pipe.unet.to(memory_format=torch.channels_last)


def _quantised(pipe: Any) -> None:
    pipe.unet = torch.ao.quantization.quantize_dynamic(pipe.unet, {nn.Linear}, dtype=torch.qint8)


def _layerwise(pipe: Any) -> None:
    pipe.unet.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32)


def _group_offload(pipe: Any) -> None:
    cpu = torch.device("cpu")
    pipe.unet.enable_group_offload(onload_device=cpu, offload_device=cpu, offload_type="leaf_level")


def accelerate_hooks(pipe: Any) -> None:
    from accelerate import cpu_offload

    cpu_offload(pipe.unet, execution_device=torch.device("cpu"))


def control(pipe: Any) -> Any:
    return diffusers.StableDiffusionControlNetPipeline(**pipe.components, controlnet=controlnet())


def _sliced_vae(pipe: Any) -> None:
    pipe.vae.enable_slicing()
    pipe.vae.enable_tiling()


def _two_controls(pipe: Any) -> Any:
    return diffusers.StableDiffusionControlNetPipeline(
        **pipe.components, controlnet=[controlnet(), controlnet()]
    )


CONTROLS = {"image": lambda: [picture(), picture(seed=1)]}

CASES = [
    option("without guidance", sized(guidance_scale=1.0, negative_prompt="default"), branches=("cond",)),
    option("no negative prompt", sized(negative_prompt="default")),
    option("guidance rescaled", sized(guidance_rescale=0.7)),
    option("two images a prompt", sized(num_images_per_prompt=2), images=2),
    option(
        "two prompts", sized([PROMPT, "the red star"], negative_prompt=lambda: [NEGATIVE, "a cat"]), images=2
    ),
    option(
        "two prompts, two images each",
        sized([PROMPT, "a star"], negative_prompt="default", num_images_per_prompt=2),
        images=4,
    ),
    option("twice the same prompt", sized([PROMPT, PROMPT], negative_prompt="default"), images=2),
    option("prompt and negative prompt alike", sized(negative_prompt=PROMPT)),
    option("prompt_embeds", _with_embeds, word=3),
    option("clip_skip", sized(clip_skip=1), change=old_name),
    option("tall pictures", sized(height=WIDTH, width=HEIGHT)),
    option("a callback ends guidance", _guidance_ends, rows=_ends_rows),
    option("a callback edits embeddings", _edited_embeds),
    option(
        "textual inversion", sized("a <toy> and the star"), change=_inversion, word="<toy>", tokens=(2, 3)
    ),
    option("LoRA layers", change=lambda pipe: add_lora(pipe.unet)),
    option("hypernetwork", change=hypernetwork),
    option("IP-Adapter", with_adapter.run, change=with_adapter.load),
    option("IP-Adapter, three pictures", with_adapter.run_three, change=with_adapter.load),
    option("IP-Adapter with a mask", with_adapter.run_masked, change=with_adapter.load),
    option("IP-Adapter Plus", with_adapter.run_plus, change=with_adapter.load_plus),
    option("two IP-Adapters", two_adapters.run, change=two_adapters.load),
    option("ControlNet, guess mode", sized(image=picture, guess_mode=True), change=control),
    option("two ControlNets", sized(**CONTROLS), change=_two_controls),
    option("FreeU", change=freeu),
    option("fused projections", change=lambda pipe: pipe.fuse_qkv_projections(vae=False)),
    option("attention slicing", change=lambda pipe: pipe.enable_attention_slicing(1)),
    option(
        "sliced and tiled VAE",
        change=_sliced_vae,
    ),
    option("channels last", change=channels_last),
    option("float16", change=_half(torch.float16)),
    option("bfloat16", change=_half(torch.bfloat16)),
    option("dynamically quantised U-Net", change=_quantised),
    option("layerwise casting to float8", change=_layerwise),
    option("group offloading", change=_group_offload),
    option("accelerate's offloading hooks", change=accelerate_hooks),
]

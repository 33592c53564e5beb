"""Runs of the tiny pipeline, and what a capture may have left on it."""

import torch

PROMPT = "a red cat and the star"


def use(pipe, processor):
    if processor == "fused":
        pipe.fuse_qkv_projections(vae=False)
    else:
        pipe.unet.set_attn_processor(processor)


def run(pipe, seeded, prompt=PROMPT, **options):
    options = {"num_inference_steps": 2, "output_type": "pt", "generator": seeded(), **options}
    return pipe(prompt, **options).images


def leftovers(pipe):
    """Everything that a capture may put on a pipeline."""
    modules = list(pipe.unet.modules())
    hooks = [
        h
        for m in modules
        for h in (*m._forward_hooks, *m._forward_pre_hooks, *m._forward_hooks_always_called)
    ]
    watchers = [m for m in modules if "get_attention_scores" in vars(m)]
    watchers += [n for n in ("encode_prompt", "_encode_prompt", "prepare_latents") if n in vars(pipe)]
    processor = getattr(pipe, "image_processor", None)  # some pipelines have none
    watchers += [n for n in ("postprocess",) if processor is not None and n in vars(processor)]
    return hooks + watchers + ["mode"] * torch._C._len_torch_function_stack()

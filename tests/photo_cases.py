"""Photos, pipelines and what is compared of them, for tests of reading photos."""

from contextlib import contextmanager

import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from attnscope.testing.tiny_models import tiny_unet


def photo_of(height, width):
    """Two halves."""
    image = Image.new("RGB", (width, height), "darkgreen")
    image.paste("orange", (0, 0, width, height * 2 // 5))
    return image


@contextmanager
def with_scheduler(pipe, scheduler, **changes):
    """The pipeline with another scheduler of its own noise levels, until the block ends."""
    before = pipe.scheduler
    pipe.scheduler = scheduler.from_config(before.config, **changes)
    try:
        yield
    finally:
        pipe.scheduler = before


def sdxl(pipe):
    """A Stable Diffusion XL of a tiny pipeline's own parts."""
    torch.manual_seed(0)
    text = CLIPTextConfig(
        vocab_size=len(pipe.tokenizer), hidden_size=8, intermediate_size=16, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=77, projection_dim=8,
        eos_token_id=pipe.tokenizer.eos_token_id, bos_token_id=pipe.tokenizer.bos_token_id,
    )  # fmt: skip
    unet = tiny_unet(
        addition_embed_type="text_time", addition_time_embed_dim=4, projection_class_embeddings_input_dim=8 + 6 * 4
    )  # fmt: skip
    made = StableDiffusionXLPipeline(
        vae=pipe.vae, text_encoder=CLIPTextModel(text).eval(), unet=unet, scheduler=pipe.scheduler,
        text_encoder_2=CLIPTextModelWithProjection(text).eval(), tokenizer=pipe.tokenizer,
        tokenizer_2=pipe.tokenizer, add_watermarker=False,
    )  # fmt: skip
    made.set_progress_bar_config(disable=True)
    return made


def everything_of(pipe):
    """What of a pipeline could be left changed, as values that compare."""
    scheduler = {name: repr(value) for name, value in vars(pipe.scheduler).items()}
    weights = {
        name: (id(weight), weight._version, weight.requires_grad, weight.grad)
        for part in (pipe.unet, pipe.vae, pipe.text_encoder)
        for name, weight in part.named_parameters()
    }
    hooks = [
        name
        for part in (pipe.unet, pipe.vae, pipe.text_encoder)
        for name, module in part.named_modules()
        if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module)
    ]
    own = {name: id(value) for name, value in vars(pipe).items()}
    processors = [id(each) for each in pipe.unet.attn_processors.values()]
    return own, scheduler, weights, hooks, processors, torch.get_rng_state().tolist(), torch.is_grad_enabled()

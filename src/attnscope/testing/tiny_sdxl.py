"""A tiny Stable Diffusion XL that draws: the demo model in SDXL's form."""

from __future__ import annotations

import torch

from attnscope.pipelines import load_pipeline

TIME_CHANNELS = 8
SIZES = 6
"""Height and width of the original, of the crop's corner, and of the target."""


def tiny_sdxl():
    """A StableDiffusionXLPipeline of 256x256 pixels in float32, made in seconds, whose pictures show their words.

    It has SDXL's parts: two tokenizers and text encoders, a U-Net that reads both side by side, pooled text and
    sizes. The weights are the demo model's; both encoders are the same one, and the U-Net takes half of each. It has
    the demo model's 16 blocks, where SDXL has 70, and knows nothing of sizes: these change nothing.

    >>> from attnscope.testing import tiny_sdxl
    >>> tiny_sdxl().unet.config.addition_embed_type
    'text_time'
    """
    from diffusers import StableDiffusionXLPipeline

    demo = load_pipeline("demo")
    encoders = [_text_encoder(demo.text_encoder) for _ in range(2)]
    pipe = StableDiffusionXLPipeline(
        vae=demo.vae, unet=_unet(demo.unet, demo.text_encoder.config), scheduler=demo.scheduler,
        text_encoder=encoders[0], text_encoder_2=encoders[1], tokenizer=demo.tokenizer, tokenizer_2=demo.tokenizer,
        force_zeros_for_empty_prompt=False, add_watermarker=False,
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _text_encoder(encoder):
    """The same encoder with a pooled answer. SDXL reads the last state but one, the demo model the last."""
    from transformers import CLIPTextModelWithProjection

    class TextEncoder(CLIPTextModelWithProjection):
        def forward(self, *args, **kwargs):
            read = super().forward(*args, **kwargs)
            read.hidden_states = (read.last_hidden_state,) * 2
            return read

    made = TextEncoder(encoder.config).eval()
    made.text_model.load_state_dict(getattr(encoder, "text_model", encoder).state_dict())
    with torch.no_grad():
        made.text_projection.weight.copy_(torch.eye(*made.text_projection.weight.shape))
    return made


def _unet(unet, text):
    """The same U-Net for keys of two encoders. Sizes and pooled text are read, and weigh nothing."""
    from diffusers import UNet2DConditionModel

    config = {
        **unet.config,
        "cross_attention_dim": 2 * text.hidden_size,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": TIME_CHANNELS,
        "projection_class_embeddings_input_dim": text.projection_dim + SIZES * TIME_CHANNELS,
    }
    made = UNet2DConditionModel.from_config(config).eval()
    weights = unet.state_dict()
    for name, weight in weights.items():
        if name.endswith(("attn2.to_k.weight", "attn2.to_v.weight")):
            weights[name] = torch.cat([weight, weight], dim=1) / 2
    weights |= {
        name: torch.zeros_like(of)
        for name, of in made.state_dict().items()
        if name.startswith("add_embedding")
    }
    made.load_state_dict(weights)
    return made

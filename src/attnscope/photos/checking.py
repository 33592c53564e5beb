"""Which pipelines can take a photo, and which can invert one; the others are refused with what they lack."""

from __future__ import annotations

from typing import Any

from attnscope.atlas.families import UNET
from attnscope.errors import ModelError, ParameterError
from attnscope.photos.conditioning import asks_for_more
from attnscope.photos.latents import is_flow
from attnscope.photos.photo_step import check_transformer
from attnscope.recording.planning.modules import model_of

NEEDED = ("vae", "tokenizer", "text_encoder", "scheduler", "encode_prompt")
PREDICTIONS = ("epsilon", "v_prediction", "sample")
"""What DDIM can make a step of."""


def check_pipeline(pipe: Any) -> None:
    """Refuse a pipeline that can't take a photo; those from a prompt to a picture can.

    Args:
        pipe: A diffusers pipeline.

    Raises:
        ModelError: A part is missing, or the model asks for more than a prompt.
    """
    missing = [name for name in NEEDED if getattr(pipe, name, None) is None]
    if missing:
        raise ModelError(
            f"{type(pipe).__name__} has no {', '.join(missing)}; for a photo give a text-to-image pipeline, "
            "such as attnscope.load_pipeline('demo')"
        )
    if model_of(pipe)[0] is not UNET:
        check_transformer(pipe)
        return
    if (lacking := asks_for_more(pipe.unet.config, pipe.vae.config.latent_channels)) is not None:
        raise ModelError(
            f"the U-Net of {type(pipe).__name__} {lacking}; photos can be read by text-to-image models built "
            "like Stable Diffusion v1, v2 and XL, and by transformers"
        )


def check_invertible(pipe: Any) -> None:
    """Refuse a pipeline whose model DDIM can't follow.

    Args:
        pipe: A pipeline that can take a photo.

    Raises:
        ModelError: Its model has no U-Net, or was not trained on noise that DDIM's steps are made of.
    """
    instead = "read the photo in one pass, without invert and null_text"
    scheduler, name = pipe.scheduler, type(pipe).__name__
    if not hasattr(scheduler, "alphas_cumprod"):
        raise ModelError(
            f"a {name} can't be inverted with DDIM: its {type(scheduler).__name__} has no products of "
            f"alphas, which DDIM's steps need and flow matching lacks: {instead}"
        )
    if is_flow(scheduler):
        raise ModelError(
            f"a {name} can't be inverted with DDIM: its model predicts the velocity of flow matching: {instead}"
        )
    if model_of(pipe)[0] is not UNET:
        raise ModelError(f"a {name} can't be inverted: inversion needs a U-Net, and it has none: {instead}")
    predicted = scheduler.config.get("prediction_type", "epsilon")
    if predicted not in PREDICTIONS:
        raise ModelError(
            f"a {name} can't be inverted with DDIM: its model predicts {predicted!r}, and DDIM needs "
            f"{', '.join(PREDICTIONS)}: {instead}"
        )


def check_prompt(prompt: Any) -> None:
    """Refuse what is no single text.

    Args:
        prompt: What somebody gave.

    Raises:
        ParameterError: It is no text.
    """
    if not isinstance(prompt, str):
        raise ParameterError(
            f"prompt is {prompt!r:.100}; expected one text that says what the photo shows, or '' for none"
        )

"""A photo as the source of prompt-to-prompt: its noise, DDIM's steps, and what is read in place of no text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from attnscope.errors import ParameterError
from attnscope.photos.checking import check_invertible, check_pipeline
from attnscope.photos.conditioning import conditions
from attnscope.photos.inversion import Inversion, ddim_making
from attnscope.photos.latents import device_of

_SETTLED = (
    "latents", "num_inference_steps", "timesteps", "sigmas", "eta", "height", "width", "image",
    "prompt_embeds", "negative_prompt_embeds",
)  # fmt: skip
_SETTLED_WITH_NULL_TEXT = ("negative_prompt", "negative_prompt_2")
_TENSORS = "callback_on_step_end_tensor_inputs"


def check_inverted(inversion: Any, pipe: Any, prompts: Sequence[str], call: dict[str, Any]) -> None:
    """Refuse what does not go together with an inversion.

    Args:
        inversion: Of the photo.
        pipe: The pipeline.
        prompts: The source and its targets.
        call: What the caller gives the pipeline.

    Raises:
        ParameterError: It is no inversion, is of another model or of another source, or settles an argument already.
        ModelError: The pipeline's model can't be inverted.
    """
    if not isinstance(inversion, Inversion):
        raise ParameterError(
            f"inversion is a {type(inversion).__name__}; expected what attnscope.invert_photo(pipe, photo, "
            f"{prompts[0]!r}) returns"
        )
    check_pipeline(pipe)
    check_invertible(pipe)
    _check_model(inversion, pipe)
    if prompts[0] != inversion.prompt:
        raise ParameterError(
            f"the source is {prompts[0]!r}, but the photo was inverted with {inversion.prompt!r}: "
            "give that as the source"
        )
    has_null_text = inversion.null_embeddings is not None
    settled = (*_SETTLED, *(_SETTLED_WITH_NULL_TEXT if has_null_text else ()))
    if given := [name for name in settled if call.get(name) is not None]:
        raise ParameterError(f"{' and '.join(given)} can't be given with inversion=, which settles them")
    scale = call.get("guidance_scale")
    if has_null_text and scale is not None and scale != inversion.guidance_scale:
        raise ParameterError(
            f"guidance_scale is {scale}; the inversion's null text is for {inversion.guidance_scale:g}: "
            f"leave it out, or invert the photo again with guidance_scale={scale}"
        )


def _check_model(inversion: Inversion, pipe: Any) -> None:
    """A latent and a text of other sizes are another model's."""
    config, text = pipe.unet.config, inversion.null_embeddings
    if inversion.noise.shape[1] != config["in_channels"] or (
        text is not None and text.shape[-1] != config["cross_attention_dim"]
    ):
        raise ParameterError(
            f"the photo was not inverted with the model of this {type(pipe).__name__}: invert it with this "
            "one"
        )


def call_of(inversion: Inversion, pipe: Any, count: int, call: dict[str, Any]) -> dict[str, Any]:
    """What the pipeline is called with.

    Args:
        inversion: Of the photo.
        pipe: What the photo was inverted with.
        count: Of all prompts.
        call: What the caller gives it.
    """
    width, height = inversion.photo.size
    given: dict[str, Any] = {
        "latents": inversion.noise.to(device_of(pipe), pipe.unet.dtype).expand(count, -1, -1, -1).clone(),
        "num_inference_steps": len(inversion.timesteps),
        "guidance_scale": inversion.guidance_scale,
        "height": height,
        "width": width,
    }
    if inversion.null_embeddings is not None:
        *_, null = conditions(pipe, inversion.prompt, inversion.noise, device_of(pipe), guided=True)
        given["negative_prompt_embeds"] = _text(inversion, pipe, 0, count)
        if "text_embeds" in null.added:  # SDXL
            given["negative_pooled_prompt_embeds"] = null.added["text_embeds"].expand(count, -1)
        call = {**call, _TENSORS: list(dict.fromkeys(("latents", "prompt_embeds", *call.get(_TENSORS, ()))))}
    return given | call


def branches_of(inversion: Inversion) -> tuple[str, ...] | None:
    """Names of the batch's branches where what stands for no text changes from step to step; None: the texts tell.

    Args:
        inversion: Of the photo.
    """
    return None if inversion.null_embeddings is None else ("uncond", "cond")


def next_text(inversion: Inversion, pipe: Any, step: int, tensors: dict[str, Any]) -> None:
    """Put the next step's text in place of no text, among what a pipeline hands to the end of a step.

    Args:
        inversion: Of the photo.
        pipe: The pipeline.
        step: That ended.
        tensors: Of the pipeline, changed here.
    """
    if inversion.null_embeddings is None or step + 1 >= len(inversion.null_embeddings):
        return
    embeddings = tensors["prompt_embeds"].clone()
    count = len(embeddings) // 2
    embeddings[:count] = _text(inversion, pipe, step + 1, count)
    tensors["prompt_embeds"] = embeddings


def _text(inversion: Inversion, pipe: Any, step: int, count: int) -> Any:
    null = inversion.null_embeddings
    assert null is not None
    return null[step].to(device_of(pipe), pipe.unet.dtype).expand(count, -1, -1)


@contextmanager
def ddim_steps(inversion: Inversion | None, pipe: Any) -> Iterator[None]:
    """The pipeline goes by the steps that the photo was inverted with, and has its own scheduler again afterwards.

    Args:
        inversion: Of the photo; None: nothing is changed.
        pipe: The pipeline.
    """
    if inversion is None:
        yield
        return
    own = pipe.scheduler
    pipe.scheduler = ddim_making(pipe, len(inversion.timesteps)).scheduler
    try:
        yield
    finally:
        pipe.scheduler = own

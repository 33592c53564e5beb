"""A picture's latent as a model gets it: how pipelines scale what their autoencoder gives, and how they lay it out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from attnscope.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor


def scaled(vae: Any, latent: Tensor) -> Tensor:
    """Times the autoencoder's scaling factor.

    Args:
        vae: The autoencoder.
        latent: What it gives.
    """
    return latent * told_by(vae, "scaling_factor")


def shifted(vae: Any, latent: Tensor) -> Tensor:
    """Less its shift, where it has one, times its scaling factor.

    Args:
        vae: The autoencoder.
        latent: What it gives.
    """
    return scaled(vae, latent - (vae.config.get("shift_factor") or 0.0))


def standardised(vae: Any, latent: Tensor) -> Tensor:
    """Less its channels' means, by their deviations.

    Args:
        vae: The autoencoder.
        latent: What it gives.
    """
    mean, deviation = (
        latent.new_tensor(told_by(vae, name)).view(-1, 1, 1) for name in ("latents_mean", "latents_std")
    )
    return (latent - mean) / deviation


def scaled_by_xl(vae: Any, latent: Tensor) -> Tensor:
    """As Stable Diffusion XL has it: standardised where the autoencoder says how, and times its scaling factor.

    Args:
        vae: The autoencoder.
        latent: What it gives.
    """
    told = (vae.config.get("latents_mean"), vae.config.get("latents_std"))
    return shifted(vae, latent) if None in told else scaled(vae, standardised(vae, latent))


def told_by(vae: Any, name: str) -> Any:
    """What the configuration of an autoencoder says.

    Args:
        vae: The autoencoder.
        name: Of the option.

    Raises:
        ModelError: It does not.
    """
    if (value := vae.config.get(name)) is None:
        raise ModelError(
            f"how a {type(vae).__name__} without {name} in its configuration scales a latent for this model is not "
            "known: put the autoencoder that the model was trained with into pipe.vae"
        )
    return value


def as_it_is(pipe: Any, latent: Tensor) -> Tensor:
    """One tensor of channels, height and width.

    Args:
        pipe: The pipeline.
        latent: Scaled.
    """
    return latent


def packed(pipe: Any, latent: Tensor) -> Tensor:
    """2x2 places to a token.

    Args:
        pipe: The pipeline.
        latent: Scaled.
    """
    return pipe._pack_latents(latent, *latent.shape)


class Latents(NamedTuple):
    """What the pipelines of a family make of a picture's latent.

    Attributes:
        scaled: From what the autoencoder gives, with four axes, to what noise is mixed with, by the autoencoder.
        laid_out: From that to what the model gets, by the pipeline.
    """

    scaled: Callable[[Any, Tensor], Tensor] = shifted
    laid_out: Callable[[Any, Tensor], Tensor | list[Tensor]] = as_it_is


SHIFTED = Latents()
UNSHIFTED = Latents(scaled)
PACKED_LATENTS = Latents(laid_out=packed)

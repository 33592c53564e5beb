"""The latent that a model predicts in a step, from what it answered and what its scheduler says of noise."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from attnscope.errors import CaptureError


def predicted_latent(
    scheduler: Any, output: Tensor, timestep: Any, sample: Tensor, model_input: Tensor | None
) -> Tensor:
    """The latent without noise, as the guided answer of one step has it.

    Flows have sample = (1 - sigma) latent + sigma noise, and the answer is noise - latent. All others have, as the
    model sees it, input = sqrt(a) latent + sqrt(1 - a) noise, whatever the scheduler's own scale is.

    Args:
        scheduler: The pipeline's scheduler.
        output: The answer, with guidance, as the scheduler gets it.
        timestep: As the scheduler gets it.
        sample: The noisy latent, as the scheduler has it.
        model_input: The same as the model got it, a row for each picture; None if unknown.

    Raises:
        CaptureError: Nothing tells what the answer means.
    """
    kind = str(getattr(scheduler, "config", {}).get("prediction_type", "epsilon"))
    if "FlowMatch" in type(scheduler).__name__ or kind == "flow_prediction":
        return sample - _sigma(scheduler, timestep, sample.device) * output
    if kind == "sample":
        return output
    alphas = getattr(scheduler, "alphas_cumprod", None)
    if not isinstance(alphas, Tensor) or kind not in ("epsilon", "v_prediction"):
        raise CaptureError(f"{type(scheduler).__name__} with {kind!r} does not tell how much noise there is")
    if model_input is None or model_input.shape != sample.shape:
        raise CaptureError("the model's input is not the noisy latent alone")
    a = _at(alphas, torch.as_tensor(timestep, device=sample.device).long())
    if kind == "v_prediction":
        return a.sqrt() * model_input - (1 - a).sqrt() * output
    return (model_input - (1 - a).sqrt() * output) / a.sqrt()


def _sigma(scheduler: Any, timestep: Any, device: torch.device) -> Tensor:
    """The part of noise at a timestep, NaN if the scheduler has no such timestep; no look at a GPU's numbers."""
    at = scheduler.timesteps.to(device) == torch.as_tensor(timestep, device=device)
    return torch.where(at.any(), _at(scheduler.sigmas, at.int().argmax()), torch.nan)


def _at(numbers: Tensor, index: Tensor) -> Tensor:
    """One of the numbers; indexing by a number on a GPU would wait for it."""
    return numbers.to(index.device).index_select(0, index.reshape(1)).squeeze(0)

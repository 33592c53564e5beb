"""One call of a model whose tensors can't be kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from attnscope.recording.obstacles.obstacle import Obstacle


def passing_tensors(values: Iterable[Any]) -> Obstacle | None:
    """Why the tensors of a call can't be kept, None if they can.

    Args:
        values: The arguments of the call.
    """
    if any(isinstance(value, Tensor) and _is_transformed(value) for value in values):
        return Obstacle(
            "the model is called inside a transform of torch.func (vmap, grad, jvp, ...), whose tensors are gone when "
            "it is left",
            "call the model itself inside the capture, a batch in place of vmap, and torch.autograd in place of grad",
        )
    if torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
        return Obstacle(
            "a CUDA graph is recorded, whose memory is written anew at every replay",
            "capture a run that is not recorded into a graph",
        )
    return None


def _is_transformed(tensor: Tensor) -> bool:
    return torch._C._functorch.is_functorch_wrapped_tensor(tensor)

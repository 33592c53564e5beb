"""Keys of a text's states, as a cross-attention makes them."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import layer_norm

from attnscope.records.projections import KeyProjection


def normed(
    states: Float[Tensor, "*rows token state"], projection: KeyProjection
) -> Float[Tensor, "*rows token state"]:
    """States in float32 as the projection multiplies them: each normalised where the layer does that.

    Args:
        states: Of a text's tokens.
        projection: Of one layer.
    """
    wide = states.float()
    eps = projection.norm_eps
    return wide if eps is None else layer_norm(wide, wide.shape[-1:], eps=eps)


def keys_of(
    projection: KeyProjection, states: Float[Tensor, "token state"], heads: int
) -> Float[Tensor, "head token dim"]:
    """K of a text in float32.

    Args:
        projection: Of one layer.
        states: Of the text's tokens.
        heads: Heads of the layer.
    """
    keys = normed(states, projection) @ projection.weight.float().mT
    if projection.bias is not None:
        keys = keys + projection.bias.float()
    return keys.unflatten(-1, (heads, -1)).transpose(0, 1)

"""DiffCut: segments by normalised cuts of how alike the model's features are, not its attention."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.errors import NumbersError, ParameterError
from attnscope.ncut.affinity import SHARPNESS, checked_sharpness, products_with_itself
from attnscope.ncut.recursion import MOST_SEGMENTS, cut_recursively

LIMIT = 0.5
"""DiffCut's limit of a cut, their tau."""
_ALIKE = 1e-5
"""Cosines of float32 that differ by less are the same but for rounding."""


def feature_affinity(
    features: Float[Tensor, "place channel"], *, sharpness: float = SHARPNESS
) -> Float[Tensor, "place place"]:
    """How alike the features of every two places are: their cosine, stretched to 0..1 over the picture, to a power.

    Args:
        features: One row a place, such as the output of a self-attention layer.
        sharpness: Exponent of the stretched cosine, DiffCut's alpha.

    Returns:
        Symmetric, 0..1, with 1 on the diagonal; float32, float64 for float64. All 1 where every two places are alike.

    Raises:
        ParameterError: Features have another shape, or sharpness is not above 0.
        NumbersError: Features hold NaN or infinite numbers.

    Cost: half a product of the features with themselves, 0.7 billion multiplications at 1,024 places, 1,280 channels.
    Source: Couairon et al. 2024 (DiffCut), section 3.2, and their program.
    """
    features, sharpness = _checked(features, ndim=2), checked_sharpness(sharpness)
    cosines = products_with_itself(_normalized(features))
    low, high = cosines.aminmax()
    if high - low < _ALIKE:
        return torch.ones_like(cosines)
    return cosines.sub_(low).div_(high - low).clamp_(0, 1).fill_diagonal_(1).pow_(sharpness)


def feature_cut(
    features: Float[Tensor, "height width channel"],
    *,
    sharpness: float = SHARPNESS,
    limit: float | None = LIMIT,
    most: int = MOST_SEGMENTS,
) -> Float[Tensor, "segment height width"]:
    """Segments of a picture by recursive normalised cuts of its features, one map a segment: DiffCut.

    Args:
        features: Of each place, such as `trace.output(path, step=0, branch="cond", image=0)` of the last self-attention
            of the last down block, as (height, width, channel).
        sharpness: As for `feature_affinity`.
        limit: Cuts of this NCut or more are not made. None: the widest gap, see `attnscope.ncut.cut_recursively`.
        most: No more segments than this.

    Returns:
        How like the mean of each segment the features of each place are, -1..1: the scalar product of the place's unit
        vector with the mean of the segment's unit vectors. `attnscope.diffseg.segment_map` gives each pixel to the
        segment whose map, resized bilinearly, is largest there. That is the authors' way, who resize the features:
        scalar products may be taken before or after. Segments are in the order of their first place.

    Raises:
        ParameterError: Features have another shape, or a number is outside its range.
        NumbersError: Features hold NaN or infinite numbers.

    Cost: 0.1 s at 1,024 places. The result does not depend on chance.
    Source: Couairon et al. 2024 (DiffCut), sections 3.2 and 3.3. Differs: every threshold is tried, theirs are 100.

    >>> import torch
    >>> halves = torch.tensor([[[1.0, 0.1], [1.0, 0.0], [0.1, 1.0], [0.0, 1.0]]])
    >>> feature_cut(halves).argmax(0).tolist()
    [[0, 0, 1, 1]]
    """
    features = _checked(features, ndim=3)
    unit = _normalized(features).flatten(0, 1)
    labels = cut_recursively(feature_affinity(unit, sharpness=sharpness), limit=limit, most=most)
    members = torch.nn.functional.one_hot(labels).to(unit)
    means = (members / members.sum(0)).T @ unit
    return (means @ unit.T).reshape(-1, *features.shape[:2])


def _normalized(features: Float[Tensor, "*grid channel"]) -> Float[Tensor, "*grid channel"]:
    return torch.nn.functional.normalize(features, dim=-1)


def _checked(features: Tensor, *, ndim: int) -> Tensor:
    features = torch.as_tensor(features)
    if features.ndim != ndim or 0 in features.shape or not features.is_floating_point():
        axes = "(place, channel)" if ndim == 2 else "(height, width, channel)"
        raise ParameterError(
            f"features are {features.dtype} of shape {tuple(features.shape)}; expected floating-point {axes}"
        )
    if not features.isfinite().all():
        raise NumbersError("features hold NaN or infinite numbers, so no two places can be compared")
    return features.detach().to(torch.promote_types(features.dtype, torch.float32))

"""The entry of normalised cuts: from attention to a map a segment."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.ncut.affinity import SHARPNESS, row_affinity
from attnscope.ncut.recursion import MOST_SEGMENTS, cut_recursively
from attnscope.probability.places import place_matrix


def normalized_cut(
    attention: Float[Tensor, "query key"] | Float[Tensor, "height width height width"],
    *,
    power: int = 1,
    sharpness: float = SHARPNESS,
    limit: float | None = None,
    most: int = MOST_SEGMENTS,
) -> Float[Tensor, "segment ..."]:
    """Segments of a picture by recursive normalised cuts of its self-attention, one map a segment.

    Self-attention is a random walk on the picture. Two places are alike where the walk goes to the same places
    from both, and a cut parts the picture where the least likeness is lost. How many segments there are the picture
    says itself, by the widest gap between what its cuts cost.

    Args:
        attention: P, as `attnscope.diffseg.aggregate` returns it, or (place, place); each place's map sums to 1.
        power: Hops of the random walk. More make segments coarser.
        sharpness: Exponent of the likeness. More part places that are less unlike.
        limit: Cuts of this NCut or more are not made; DiffCut's is 0.5. None: the widest gap, see
            `attnscope.ncut.cut_recursively`.
        most: No more segments than this.

    Returns:
        (segment, height, width) or (segment, place): where a lazy walk is after a step, which stays with probability
        1/2 and else follows the attention. They sum to 1 over segments, and a place's own segment is the largest, so
        `attnscope.diffseg.segment_map` makes labels of them. Segments are in the order of their first place. Float32,
        float64 for float64.

    Raises:
        ParameterError: Attention is not square, not finite, negative, or rows do not sum to 1; a number is outside its
            range.

    Cost: at 4,096 places the product of `row_affinity` and about 0.5 s for cuts on two cores, and three matrices
    of 64 MB. The result does not depend on chance.
    Source: Ivanova et al. 2024 (arXiv 2412.04678); constants: Couairon et al. 2024 (DiffCut). Differs from both: the
    widest gap, every threshold, maps by the attention itself.

    >>> import torch
    >>> halves = torch.block_diag(torch.full((3, 3), 1 / 3), torch.full((2, 2), 1 / 2))
    >>> normalized_cut(halves).tolist()
    [[1.0, 1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0, 1.0]]
    """
    matrix = place_matrix(attention)
    labels = cut_recursively(row_affinity(matrix, power=power, sharpness=sharpness), limit=limit, most=most)
    members = torch.nn.functional.one_hot(labels).to(torch.promote_types(matrix.dtype, torch.float32))
    after_a_step = (members + matrix.to(members) @ members) / 2
    shape = tuple(attention.shape)
    return after_a_step.T.reshape(-1, *shape[: len(shape) // 2])

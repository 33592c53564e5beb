"""The entry points to sums over the attention probability: they choose a path and say which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.errors import ParameterError
from attnscope.probability.contraction import Contraction, contraction, taken
from attnscope.probability.inputs import check_inputs, working_dtype
from attnscope.probability.reference import materialised
from attnscope.probability.tile_loops import why_not_compiled
from attnscope.probability.tiled import entropy_tiled, reduce_tiled
from attnscope.probability.triton_support import is_interpreted, why_not_triton
from attnscope.probability.verdicts import Verdicts, is_read_at_once, moved


class Path(NamedTuple):
    """Which code computes a sum over attention, and why.

    Attributes:
        name: 'reference', 'tiled' or 'triton'.
        reason: Why this path is taken, as text for people.
    """

    name: Literal["reference", "tiled", "triton"]
    reason: str


def path_for(query: Tensor, key: Tensor, *, over: Sequence[str] = ()) -> Path:
    """The path that `reduce` takes for these tensors.

    Args:
        query: Q, (head, query, dim).
        key: K, (head, key, dim).
        over: The axes that are summed, as for `reduce`.

    >>> import torch
    >>> path_for(torch.zeros(8, 64, 40), torch.zeros(8, 64, 40)).name
    'reference'
    """
    if query.device.type == "meta":
        return Path("reference", "meta tensors have shapes only")
    if not over:
        return Path("reference", "nothing is summed: the result is P itself")
    what = f"sum over {' and '.join(over)} on {query.device.type}, P is not materialised"
    if obstacle := why_not_triton(query, key):
        uncompiled = f"; run by Python, since {cause}" if (cause := why_not_compiled()) else ""
        return Path("tiled", f"{what}: row tiles, since {obstacle}{uncompiled}")
    return Path("triton", f"{what}: Triton kernels{', interpreted' if is_interpreted() else ''}")


def reduce(
    query: Float[Tensor, "head query dim"],
    key: Float[Tensor, "head key dim"],
    *,
    scale: float,
    mask: Tensor | None = None,
    over: Sequence[str] = (),
    weights: Mapping[str, Tensor] | None = None,
    columns: Tensor | range | None = None,
    into: Tensor | None = None,
) -> Float[Tensor, ...]:
    """P = softmax(Q K^T x scale + mask), averaged over some of its axes.

    Args:
        query: Q of one batch row.
        key: K of one batch row, on the same device.
        scale: Factor before the softmax, 1/sqrt(dim) in Stable Diffusion.
        mask: Float (added to the scores) or bool (true where a key may be seen). Broadcasts to (head, query, key).
        over: Axes to average: some of 'head', 'query' and 'key'. Without any the result is P itself.
        weights: Numbers for the places of an axis in `over`. They turn its mean into a weighted sum, such as that
            of a region of queries or of some heads.
        columns: Numbers of the keys to keep, or a range of them, which costs nothing. The softmax is still over all
            keys.
        into: The result of an earlier call. This one is added to it in place, so sums over layers and steps need
            no second array.

    Mask, weights and columns may be on any device.

    Returns:
        What is left of (head, query, key), float32 (float64 for float64 input); `into` where it is given. A row of P
        without a visible key is zeros.

    Raises:
        ParameterError: An axis that can't be summed; weights, columns or an `into` that do not fit; Q, K and a mask
            whose shapes do not fit, on two devices, or without a head or a key.
        NumbersError: Q or K holds NaN or infinite numbers, the mask NaN or +inf, or products would overflow.

    Cost: one product of Q and K and one exponential for each of (head, query, key). Memory of the result and of one
    tile a thread. Where Q or K requires a gradient and autograd is on, the result has one, and P is materialised.

    >>> import torch
    >>> q, k = torch.randn(2, 8, 16, 40).unbind()
    >>> reduce(q, k, scale=40**-0.5, over=("head",)).shape  # the mean over heads
    torch.Size([16, 16])
    """
    verdicts = _check(query, key, mask, scale)
    if into is not None:
        check_writable(into)
    dtype = working_dtype(query)
    autocast_device = "cpu" if query.is_meta else query.device.type  # autocast knows no meta tensors
    if torch.is_grad_enabled() and (query.requires_grad or key.requires_grad):
        verdicts.queue()
        verdicts.read()
        asked = contraction(query, key, over, weights, columns, dtype)
        with torch.autocast(autocast_device, enabled=False):
            return _contracted(materialised(query, key, scale=scale, mask=mask), asked, into)
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(autocast_device, enabled=False):
        asked = contraction(query, key, over, weights, columns, dtype, verdicts)
        expected = (dtype, asked.shape, query.device)
        if into is not None and (into.dtype, into.shape, into.device) != expected:
            raise ParameterError(
                f"into is {into.dtype} of shape {tuple(into.shape)} on {into.device}: expected {dtype} of "
                f"{asked.shape} on {query.device}"
            )
        mask = mask if mask is None else moved(mask, query.device)
        path = _REDUCTIONS[path_for(query, key, over=over).name]
        target = None if into is None or into.is_inference() else into
        verdicts.queue()
        if into is not None or not (
            columns is None or isinstance(columns, range) or is_read_at_once(columns)
        ):
            verdicts.read()  # before something wrong is added, or a kernel reads where no key is
        result = path(query, key, asked, scale=scale, mask=mask, into=target)
    verdicts.read()
    # here, in the caller's mode, a tensor of inference mode may be written
    return result if into is None or into is target else into.add_(result)


def check_writable(into: Tensor) -> None:
    """Refuse a result to add to that torch lets nobody write here.

    Args:
        into: The result.

    Raises:
        ParameterError: It was made in torch.inference_mode(), which has been left.
    """
    if into.is_inference() and not torch.is_inference_mode_enabled():
        raise ParameterError(
            "into was made in torch.inference_mode() and can't be written outside of it: give into.clone()"
        )


def entropy(
    query: Float[Tensor, "head query dim"],
    key: Float[Tensor, "head key dim"],
    *,
    scale: float,
    mask: Tensor | None = None,
) -> Float[Tensor, "head query"]:
    """How widely each query spreads its attention: -sum P log P over the keys, in nats.

    Args:
        query: Q of one batch row.
        key: K of one batch row, on the same device.
        scale: Factor before the softmax, 1/sqrt(dim) in Stable Diffusion.
        mask: As for `reduce`.

    Returns:
        0 where all attention is on one key or no key is visible, log(keys) where it is even. Float32 (float64 for
        float64 input).

    Raises:
        ParameterError: As for `reduce`.
        NumbersError: As for `reduce`.

    Cost: as `reduce`; never more than one tile a thread.
    """
    verdicts = _check(query, key, mask, scale)
    if query.is_meta:
        return query.new_empty(query.shape[:2], dtype=working_dtype(query))
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(query.device.type, enabled=False):
        mask = mask if mask is None else moved(mask, query.device)
        path = _entropy_triton if path_for(query, key, over=("key",)).name == "triton" else entropy_tiled
        verdicts.queue()
        result = path(query, key, scale=scale, mask=mask)
    verdicts.read()
    return result


def _check(query: Tensor, key: Tensor, mask: Tensor | None, scale: float) -> Verdicts:
    """Refuse what can be refused without waiting for a GPU; the rest is for the verdicts."""
    verdicts = Verdicts()
    check_inputs(query, key, mask, scale=scale, verdicts=verdicts)
    if query.ndim != 3:
        raise ParameterError(f"query is {tuple(query.shape)}: expected (head, query, dim) of one batch row")
    return verdicts


def reduce_given(
    probability: Float[Tensor, "head query key"],
    *,
    over: Sequence[str] = (),
    weights: Mapping[str, Tensor] | None = None,
    columns: Tensor | range | None = None,
    into: Tensor | None = None,
) -> Float[Tensor, ...]:
    """What `reduce` gives, of a P that is there, such as one that an edit has changed.

    Args:
        probability: P of one batch row.
        over: As for `reduce`, and so on.
        weights: As there.
        columns: As there.
        into: As there.

    Raises:
        ParameterError: As there.
    """
    if into is not None:
        check_writable(into)
    p = probability.to(working_dtype(probability))
    with torch.inference_mode(False), torch.set_grad_enabled(torch.is_grad_enabled() and p.requires_grad):
        asked = contraction(p, p.transpose(1, 2), over, weights, columns, p.dtype)
        return _contracted(p, asked, into)


def _reduce_reference(
    query: Tensor, key: Tensor, asked: Contraction, *, scale: float, mask: Tensor | None, into: Tensor | None
) -> Tensor:
    """The contraction written out over a materialised P."""
    return _contracted(materialised(query, key, scale=scale, mask=mask), asked, into)


def _contracted(probability: Tensor, asked: Contraction, into: Tensor | None) -> Tensor:
    left = taken(probability, -1, asked.columns)
    for axis, weight in ((2, asked.key), (1, asked.query), (0, asked.head)):
        if weight is not None:
            left = torch.tensordot(left, weight, dims=([axis], [0]))
    return left if into is None else into.add_(left)


def _reduce_triton(*inputs: Any, **how: Any) -> Tensor:
    from attnscope.probability.triton_sums import reduce_triton  # imports triton, which may be missing

    return reduce_triton(*inputs, **how)


def _entropy_triton(*inputs: Any, **how: Any) -> Tensor:
    from attnscope.probability.triton_sums import entropy_triton

    return entropy_triton(*inputs, **how)


_REDUCTIONS = {"reference": _reduce_reference, "tiled": reduce_tiled, "triton": _reduce_triton}

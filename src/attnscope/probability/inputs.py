"""What Q, K and a mask must be so that there is an attention: shapes, types, devices and numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.errors import NumbersError, ParameterError
from attnscope.probability.verdicts import Verdicts, moved

BASE_2 = 1.5  # more than 1 / log(2), by which scores to the base 2 are larger
ADVICE = "a run that overflows does this: run the model in float32 or bfloat16"


def working_dtype(query: Tensor) -> torch.dtype:
    """The type to compute in: float64 stays, and everything else is float32, as upcast attention asks.

    Args:
        query: Q, of any floating-point type.
    """
    return torch.float64 if query.dtype == torch.float64 else torch.float32


def check_inputs(
    query: Float[Tensor, "*rows query dim"],
    key: Float[Tensor, "*rows key dim"],
    mask: Tensor | None = None,
    *,
    scale: float = 1.0,
    verdicts: Verdicts | None = None,
) -> None:
    """Refuse Q, K and a mask that give no attention.

    Args:
        query: Q, with at least one leading axis.
        key: K, with the same leading axes.
        mask: Float (added to the scores) or bool (true where a key may be seen).
        scale: Factor before the softmax.
        verdicts: Takes what is to be judged of a GPU's numbers. Without it, they are waited for here.

    Raises:
        ParameterError: Shapes or types do not fit, Q and K are on two devices, or there is no head or no key.
        NumbersError: Q or K holds NaN or infinite numbers, the mask NaN or +inf, or products would overflow.

    Cost: one look at each number.
    """
    _check_shapes(query, key)
    if mask is not None:
        check_mask(mask, (*query.shape[:-1], key.shape[-2]))
    if not math.isfinite(scale):
        raise ParameterError(f"scale is {scale}; expected a finite number, 1/sqrt(dim) as a rule")
    if not query.is_meta and not key.is_meta and query.numel():
        looked = Verdicts() if verdicts is None else verdicts
        _look(query.detach(), key.detach(), None if mask is None else mask.detach(), scale, looked)
        if verdicts is None:
            looked.read()


@contextmanager
def located(where: object) -> Iterator[None]:
    """What is wrong with Q, K or a mask inside is said with its place.

    Args:
        where: The layer, and the step if it is known.

    Raises:
        ParameterError: The same kind of error, with the place before its sentence.
    """
    try:
        yield
    except ParameterError as error:
        raise type(error)(f"{where}: {error}") from error


def _check_shapes(query: Tensor, key: Tensor) -> None:
    if not (query.is_floating_point() and key.is_floating_point()):
        raise ParameterError(f"query is {query.dtype} and key {key.dtype}: expected floating-point numbers")
    if query.device != key.device:
        raise ParameterError(
            f"query is on {query.device} and key on {key.device}: move one to the other's device"
        )
    fits = min(query.ndim, key.ndim) >= 3 and query.shape[:-2] == key.shape[:-2]
    if not fits or query.shape[-1] != key.shape[-1] or not math.prod(key.shape[:-1]):
        raise ParameterError(
            f"query is {tuple(query.shape)} and key {tuple(key.shape)}: expected (head, query, dim) and (head, key, "
            "dim) of the same heads and dim, with at least one head and one key"
        )


def check_mask(mask: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse a mask that does not fit.

    Args:
        mask: Float (added to the scores) or bool (true where a key may be seen).
        shape: Of the scores: heads, queries, keys.

    Raises:
        ParameterError: Its type or shape does not fit.
    """
    if mask.dtype != torch.bool and not mask.is_floating_point():
        raise ParameterError(
            f"the mask is {mask.dtype}: expected bool (true where a key may be seen) or numbers that are added"
        )
    sides = zip(reversed(mask.shape), reversed(shape), strict=False)
    if mask.ndim > len(shape) or not all(side in (1, of_scores) for side, of_scores in sides):
        raise ParameterError(f"the mask is {tuple(mask.shape)}: expected a shape that broadcasts to {shape}")


def _look(query: Tensor, key: Tensor, mask: Tensor | None, scale: float, verdicts: Verdicts) -> None:
    """One quick pass over all numbers. What it does not clear gets a closer look, once it is read."""
    most = torch.finfo(working_dtype(query)).max
    reach = query.shape[-1] * max(1.0, abs(scale) * BASE_2)
    sizes = [_size(query) * _size(key)]
    if mask is not None and mask.dtype != torch.bool and mask.numel():
        sizes.append(moved(_wide(mask).amax(), query.device))

    def judge(product: float, added: float = 0.0) -> None:
        if not (reach * product < most and reach * product + added < most):  # also where either is NaN
            _look_closer(query, key, mask, reach, most)

    verdicts.add(sizes, judge)


def _size(tensor: Tensor) -> Tensor:
    """A bound of all numbers that one quick pass gives: NaN or infinite if any is, or if it is too large to tell."""
    tensor = _wide(tensor)
    if tensor.element_size() == 2 and tensor.device.type == "cpu":  # where this is the faster one
        low, high = torch.aminmax(tensor)
        return torch.maximum(high, -low).float()
    return torch.linalg.vector_norm(tensor, dtype=working_dtype(tensor))


def _look_closer(query: Tensor, key: Tensor, mask: Tensor | None, reach: float, most: float) -> None:
    for name, tensor in (("query", query), ("key", key)):
        low, high = _extremes(tensor)
        if not (math.isfinite(low) and math.isfinite(high)):
            raise NumbersError(f"{name} holds {_count(~tensor.isfinite())} NaN or infinite numbers; {ADVICE}")
        reach *= max(-low, high)
    if reach > most:
        raise NumbersError(
            f"products of query and key may be as large as {reach:.1e}, beyond {most:.1e}: give smaller numbers"
            f"{' or float64' if working_dtype(query) == torch.float32 else ''}"
        )
    if mask is not None and mask.dtype != torch.bool and mask.numel():
        _check_added(mask, reach, most)


def _check_added(mask: Tensor, reach: float, most: float) -> None:
    """Refuse a mask of numbers that is none, or that lifts scores of up to `reach` beyond `most`."""
    high = _extremes(mask)[1]
    if math.isnan(high) or high == math.inf:
        raise NumbersError(
            f"the mask holds {_count(mask.isnan() | (mask == math.inf))} NaN or +inf; expected finite numbers, "
            "or -inf where a key is hidden"
        )
    if high + reach > most:
        raise NumbersError(
            f"the mask adds up to {high:.1e} to the scores, beyond {most:.1e}: subtract its largest number from it"
        )


def _extremes(tensor: Tensor) -> tuple[float, float]:
    """The least and the largest number; both NaN if any is."""
    low, high = torch.stack(torch.aminmax(_wide(tensor))).tolist()
    return low, high


def _wide(tensor: Tensor) -> Tensor:
    """Float8 has neither arithmetic nor order."""
    return tensor.float() if tensor.element_size() == 1 else tensor


def _count(bad: Tensor) -> str:
    number = int(bad.sum())
    return f"{number:,} {'number that is' if number == 1 else 'numbers that are'}"

"""One row of P with every number on the way to it: for one query of one head, as on paper."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.errors import ParameterError
from attnscope.probability.inputs import check_inputs
from attnscope.probability.reference import add_mask


@dataclass(frozen=True, repr=False)
class OneRow:
    """The attention of one query of one head, step by step. All numbers are float64.

    Attributes:
        query: q, the query's row of Q.
        key: K.
        value: V, None where it is unknown.
        scale: Factor of the scores, 1/sqrt(dim) as a rule.
        scores: q·k of each key.
        added: What the mask adds to each scaled score, -inf where it hides a key; None without a mask.
        scaled: Scores times scale, plus what the mask adds.
        largest: The largest of these, which is subtracted before the exponential; 0 where every key is hidden.
        exponentials: exp(scaled - largest).
        total: Their sum.
        probability: Exponentials / total, the row of P; zeros where every key is hidden.
        used: The row that was multiplied with V: `probability`, unless an edit changed it.
    """

    query: Float[Tensor, " dim"]
    key: Float[Tensor, "key dim"]
    value: Float[Tensor, "key dim"] | None
    scale: float
    scores: Float[Tensor, " key"]
    added: Float[Tensor, " key"] | None
    scaled: Float[Tensor, " key"]
    largest: float
    exponentials: Float[Tensor, " key"]
    total: float
    probability: Float[Tensor, " key"]
    used: Float[Tensor, " key"]

    def __repr__(self) -> str:
        keys, dim = self.key.shape
        v = "with V" if self.value is not None else "without V"
        return f"<OneRow of {keys} keys, dim {dim}, {v}>"

    @property
    def output(self) -> Float[Tensor, " dim"]:
        """What the query gets: the sum of V's rows, each times its share.

        Raises:
            ParameterError: V is unknown.
        """
        return self.used @ self._known_value

    @property
    def adds(self) -> Float[Tensor, " key"]:
        """How much of the output each key brings, along the output's own direction; the sum is 1.

        It is (share x v)·output / |output|². A key whose value points the other way takes away: its number is
        negative. Zeros where the output is zero.

        Raises:
            ParameterError: V is unknown.
        """
        output = self.output
        square = output @ output
        along = self.used * (self._known_value @ output)
        return along / square if square > 0 else torch.zeros_like(along)

    @property
    def _known_value(self) -> Tensor:
        if self.value is None:
            raise ParameterError("V is unknown: keep it with capture(pipe, value=True)")
        return self.value


def one_row(
    query: Float[Tensor, " dim"],
    key: Float[Tensor, "key dim"],
    value: Float[Tensor, "key dim"] | None = None,
    *,
    scale: float,
    mask: Tensor | None = None,
    used: Float[Tensor, " key"] | None = None,
) -> OneRow:
    """One row of P with every number on the way to it, in float64 whatever the type of Q and K.

    Args:
        query: q of one head.
        key: K of that head.
        value: V of that head, if it is known.
        scale: Factor before the softmax, 1/sqrt(dim) in Stable Diffusion.
        mask: One number a key that is added to the scores, or bool (true where a key may be seen).
        used: The row that was multiplied with V, where that was another one than the softmax's.

    Raises:
        ParameterError: Shapes or types do not fit.
        NumbersError: Q or K holds NaN or infinite numbers, or the mask NaN or +inf.

    Cost: a product of K and q; a few numbers a key.
    Source: Vaswani et al. 2017, section 3.2.1, equation 1.

    >>> row = one_row(torch.tensor([2.0, 0.0]), torch.tensor([[1.0, 5.0], [-1.0, 5.0]]), scale=0.5)
    >>> row.scores.tolist(), row.scaled.tolist(), row.largest
    ([2.0, -2.0], [1.0, -1.0], 1.0)
    >>> [round(share, 4) for share in row.probability.tolist()]  # 1 / (1 + e^-2) and the rest
    [0.8808, 0.1192]
    """
    _check(query, key, value, mask, scale, used)
    q, k, v = (None if tensor is None else tensor.detach().double() for tensor in (query, key, value))
    assert q is not None
    assert k is not None
    scores = k @ q
    added = None if mask is None else add_mask(torch.zeros_like(scores), mask)
    scaled = scores * scale if added is None else scores * scale + added
    largest = float(scaled.max())
    if largest == -torch.inf:  # every key is hidden
        largest = 0.0
    exponentials = (scaled - largest).exp()
    total = float(exponentials.sum())
    probability = exponentials / total if total > 0 else exponentials
    return OneRow(
        query=q,
        key=k,
        value=v,
        scale=scale,
        scores=scores,
        added=added,
        scaled=scaled,
        largest=largest,
        exponentials=exponentials,
        total=total,
        probability=probability,
        used=probability if used is None else used.detach().double(),
    )


def _check(
    query: Tensor, key: Tensor, value: Tensor | None, mask: Tensor | None, scale: float, used: Tensor | None
) -> None:
    if query.ndim != 1 or key.ndim != 2:
        raise ParameterError(
            f"query is {tuple(query.shape)} and key {tuple(key.shape)}: expected one query, (dim,), and the keys of "
            "its head, (key, dim)"
        )
    if mask is not None and mask.ndim != 1:
        raise ParameterError(f"the mask is {tuple(mask.shape)}: expected one number for each key")
    check_inputs(query[None, None], key[None], mask, scale=scale)
    if value is not None and (value.ndim != 2 or len(value) != len(key)):
        raise ParameterError(f"value is {tuple(value.shape)}: expected one row for each of {len(key)} keys")
    if used is not None and used.shape != (len(key),):
        raise ParameterError(f"used is {tuple(used.shape)}: expected one share for each of {len(key)} keys")

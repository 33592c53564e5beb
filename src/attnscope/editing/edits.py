"""What can be asked of attention: less or more of a head, a block, a word, a region; sharper or softer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.editing.acting import Acting, Function, Spot
from attnscope.editing.choices import Choices, Words
from attnscope.editing.regions import Where, checked_mask, on_grid
from attnscope.editing.site import Part, Site
from attnscope.errors import ParameterError
from attnscope.probability.changed import Change
from attnscope.spelling import both_spellings

To = Literal["zero", "mean", "uniform"]
Piece = Float[Tensor, "head query key"]

_both = both_spellings("block", "head", "steps", "branch", "image", "words")


@dataclass(frozen=True, kw_only=True)
class Edit(Choices):
    """What becomes of attention, and of which: see `Choices`."""

    def changes(self, site: Site) -> Iterator[Change]:
        """What becomes of P where this edit is for it.

        Args:
            site: The attention.
        """
        part = site.part(self)
        yield Acting(site.rows(self), site.heads(self), part.queries, self._function(site, part))

    def _function(self, site: Site, part: Part) -> Function:
        """What becomes of P of one row."""
        raise NotImplementedError


@_both
@dataclass(frozen=True)
class Ablate(Edit):
    """Attention without heads, blocks or words: `Ablate(block=7, kind="self", head=3)`, `Ablate("sun")`.

    Attributes:
        words: Words of the prompt, or numbers of tokens, whose columns are replaced; None for whole heads.
        to: 'zero' takes the attention away: a head gives nothing, a word is not read, and the rest stays as it is.
            'mean' gives every place the mean over all places. 'uniform' looks at all visible keys alike.

    Raises:
        ParameterError: `to` is something else.

    Cost: P of these heads in tiles, and 'mean' a second time.
    """

    words: Words | None = None
    to: To = "zero"

    def __post_init__(self) -> None:
        self._check_choices()
        if self.to not in get_args(To):
            raise ParameterError(f"to is {self.to!r}; expected one of {', '.join(map(repr, get_args(To)))}")

    def _function(self, site: Site, part: Part) -> Function:
        return partial(self._ablated, site, part)

    def _ablated(self, site: Site, part: Part, piece: Piece, spot: Spot) -> Piece:
        columns, changed = site.columns(self, part, spot.row), piece.clone()
        if self.to == "zero":
            changed[..., columns] = 0
        elif self.to == "mean":
            mean = site.mean_over_queries(spot.row, spot.heads, part.queries)
            changed[..., columns] = mean[:, None, columns].to(changed)
        else:
            even = site.even(spot.row, spot.heads, spot.queries)[..., columns].to(changed)
            if self.words is None and len(part.keys) < piece.shape[-1]:
                # a part keeps its share of all attention
                even = even * (
                    piece[..., columns].sum(-1, keepdim=True) / even.sum(-1, keepdim=True).clamp(min=1e-38)
                )
            changed[..., columns] = even
        return changed


@_both
@dataclass(frozen=True)
class Reweight(Edit):
    """Attention to words times a factor: `Reweight("sun", 2.0)`. A word of several tokens has it on each.

    Attributes:
        words: Words of the prompt, or numbers of tokens; None for all keys, which is of use with `where`, `head` or
            `kind`.
        factor: 0 takes words away, 1 changes nothing, more makes them count more; negative ones push away from them.
        where: A mask or a box, (top, left, bottom, right) in shares of the picture: the factor is for its places only.
        renormalise: Make what each place gives to all keys sum to what it was. By default it does not, as in
            prompt-to-prompt.

    Raises:
        ParameterError: The factor is no finite number, or the region is none.

    Cost: P of these heads in tiles. Source: Hertz et al. 2022, section 3.2, "Attention Re-weighting".
    """

    words: Words | None
    factor: float
    where: Where = None
    renormalise: bool = False

    def __post_init__(self) -> None:
        self._check_choices()
        _check_finite("factor", self.factor)
        if self.where is not None:
            checked_mask(self.where)

    def _function(self, site: Site, part: Part) -> Function:
        inside = None if self.where is None else on_grid(checked_mask(self.where), part.layer.grid)
        return partial(self._weighted, site, part, inside)

    def _weighted(self, site: Site, part: Part, inside: Tensor | None, piece: Piece, spot: Spot) -> Piece:
        columns, changed = site.columns(self, part, spot.row), piece.clone()
        factor: Any = self.factor
        if inside is not None:
            here = inside[spot.places].to(piece.device)
            factor = torch.where(here, self.factor, 1.0).to(piece)[:, None]
        changed[..., columns] = changed[..., columns] * factor
        return _with_sums_of(piece, changed) if self.renormalise else changed


@_both
@dataclass(frozen=True)
class Region(Edit):
    """Where words may be looked at from: `Region("cat", box)`, `Region("cat", mask, only=False)`.

    Attributes:
        words: Words of the prompt, or numbers of tokens.
        where: A mask or a box, (top, left, bottom, right) in shares of the picture.
        only: Only places in it read the words; False: only places outside of it do.
        renormalise: Give what is taken away to the other keys, as a mask before the softmax would; False drops it.

    Raises:
        ParameterError: The region is none.

    Cost: P of these heads in tiles.
    """

    words: Words
    where: Where
    only: bool = True
    renormalise: bool = True

    def __post_init__(self) -> None:
        self._check_choices()
        checked_mask(self.where)

    def _function(self, site: Site, part: Part) -> Function:
        inside = on_grid(checked_mask(self.where), part.layer.grid)
        hidden = ~inside if self.only else inside
        return partial(self._limited, site, part, hidden)

    def _limited(self, site: Site, part: Part, hidden: Tensor, piece: Piece, spot: Spot) -> Piece:
        columns, changed = site.columns(self, part, spot.row), piece.clone()
        seen = (~hidden[spot.places]).to(piece)[:, None]
        changed[..., columns] = changed[..., columns] * seen
        return _with_sums_of(piece, changed) if self.renormalise else changed


@_both
@dataclass(frozen=True)
class Temperature(Edit):
    """Sharper or softer attention: scores divided by a temperature, `Temperature(0.5, kind="cross")`.

    Attributes:
        temperature: Below 1 attention gets sharper, above 1 softer. A part of a joint attention keeps its share.

    Raises:
        ParameterError: The temperature is not above 0.

    Cost: P of these heads in tiles.
    """

    temperature: float

    def __post_init__(self) -> None:
        self._check_choices()
        _check_finite("temperature", self.temperature)
        if self.temperature <= 0:
            raise ParameterError(f"temperature is {self.temperature}; expected a number above 0")

    def _function(self, site: Site, part: Part) -> Function:
        return partial(self._tempered, slice(part.keys.start, part.keys.stop))

    def _tempered(self, keys: slice, piece: Piece, spot: Spot) -> Piece:
        """softmax(S / T) is P to the power of 1 / T, made to sum to one."""
        changed, of_part = piece.clone(), piece[..., keys].clamp(min=0)
        logs = of_part.log() / self.temperature  # -inf where a key is hidden
        most = logs.amax(-1, keepdim=True)
        powers = (logs - most.masked_fill(most == -torch.inf, 0)).exp()
        changed[..., keys] = _with_sums_of(of_part, powers)
        return changed


def _with_sums_of(piece: Piece, changed: Piece) -> Piece:
    """Rows scaled to sum to what they summed to; rows that have lost everything stay zeros."""
    sums = changed.sum(-1, keepdim=True)
    factor = piece.sum(-1, keepdim=True) / sums.masked_fill(sums == 0, 1)
    return changed * factor


def _check_finite(name: str, number: object) -> None:
    is_number = isinstance(number, (int, float)) and not isinstance(number, bool)
    if not is_number or not torch.isfinite(torch.tensor(float(number))):  # type: ignore[arg-type]
        raise ParameterError(f"{name} is {number!r}; expected a finite number")

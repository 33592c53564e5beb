"""An edit that a user writes: any function of P."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from jaxtyping import Float
from torch import Tensor

from attnscope.editing.acting import Acting, Spot
from attnscope.editing.edits import Edit
from attnscope.editing.site import Site
from attnscope.errors import EditError, ParameterError
from attnscope.probability.changed import Change
from attnscope.spelling import both_spellings

Piece = Float[Tensor, "head query key"]


@both_spellings("block", "head", "steps", "branch", "image")
@dataclass(frozen=True)
class Custom(Edit):
    """Whatever a function makes of P: `Custom(lambda p: p.flip(1), kind="self", block=3)`.

    Attributes:
        function: Gets P of one row, (head, query, key) in float32, and gives what is used in its place, of the same
            shape. Of a part of a joint attention it gets that part. With a second parameter it gets the `Site`, too:
            `site.layer`, `site.call.step`, `site.run`.

    Raises:
        ParameterError: It is no function.
        EditError: What the function gives has another shape, or numbers that are not finite.

    Cost: P of these heads is materialised, one row at a time.
    """

    function: Callable[..., Tensor]

    def __post_init__(self) -> None:
        self._check_choices()
        if not callable(self.function):
            raise ParameterError(f"function is {self.function!r}; expected a function of P")

    def changes(self, site: Site) -> Iterator[Change]:
        """What becomes of an attention's P.

        Args:
            site: The attention.
        """
        part, heads = site.part(self), site.heads(self)
        function = partial(self._made, site, slice(part.keys.start, part.keys.stop))
        yield Acting(site.rows(self), heads, part.queries, function, is_whole=True)

    def _made(self, site: Site, keys: slice, piece: Piece, spot: Spot) -> Piece:
        given, changed = piece[..., keys].clone(), piece.clone()
        made = self.function(given, site) if _takes_two(self.function) else self.function(given)
        if not isinstance(made, Tensor) or made.shape != given.shape:
            what = tuple(made.shape) if isinstance(made, Tensor) else type(made).__name__
            raise EditError(f"{self} gave {what} for {site.layer.id}; expected a tensor {tuple(given.shape)}")
        if not made.isfinite().all():
            raise EditError(f"{self} gave NaN or infinite numbers for {site.layer.id}")
        changed[..., keys] = made.to(changed)
        return changed


def _takes_two(function: Callable[..., Any]) -> bool:
    """Whether a function has a second parameter that must be given or is not by name alone."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # written in C
        return False
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len([p for p in places if p.default is p.empty]) >= 2

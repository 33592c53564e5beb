"""Attention from elsewhere: from another picture of the batch, or from a trace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.editing.acting import Acting, Spot
from attnscope.editing.choices import Words
from attnscope.editing.edits import Edit
from attnscope.editing.site import Part, Site, tokens_of
from attnscope.errors import EditError, ParameterError, SelectionError
from attnscope.probability.changed import Change
from attnscope.probability.reference import materialised
from attnscope.records import Row
from attnscope.spelling import both_spellings
from attnscope.trace.step_rows import row_of
from attnscope.trace.trace import Trace

Piece = Float[Tensor, "head query key"]
Source = Any
"""The number of an image of the batch, or a trace."""

_both = both_spellings("block", "head", "steps", "branch", "image", "words")


@_both
@dataclass(frozen=True)
class Replace(Edit):
    """P from elsewhere: `Replace(0, image=1)` gives the second picture of a batch the attention of the first.

    Attributes:
        source: Number of an image of the same batch, or a `Trace` of another run, whose first image counts.
        words: Only the columns of these words; the source's text must have them with as many tokens.
        mapping: In place of words, what becomes of the source's columns: P of the source times this matrix,
            (token of the source, token).
        share: How much of the source, 0..1: one number, or one for each token. The rest is the row's own P.
        max_places: Only layers with at most so many places.

    Raises:
        ParameterError: The source is neither, or the numbers do not fit.
        EditError: The source lacks the layer, the step or the row, or has other shapes.

    Cost: P of these heads in tiles, and of a trace's, too. Source: Hertz et al. 2022, sections 3.1 and 3.2.
    """

    source: Source
    words: Words | None = None
    mapping: Tensor | None = field(default=None, compare=False)
    share: float | Tensor = field(default=1.0, compare=False)
    max_places: int | None = None

    def __post_init__(self) -> None:
        self._check_choices()
        is_image = isinstance(self.source, int) and not isinstance(self.source, bool)
        if not is_image and not isinstance(self.source, Trace):
            raise ParameterError(
                f"source {self.source!r}: expected the number of an image of the batch, or a trace"
            )
        if self.words is not None and self.mapping is not None:
            raise ParameterError("words and mapping both say which columns are meant: give one of them")

    @property
    def asked_kind(self) -> str | None:
        """The kind of attention that it is for: words are in that to the text."""
        is_of_text = self.words is not None or self.mapping is not None
        return "cross" if self.kind is None and is_of_text else self.kind

    def changes(self, site: Site) -> Iterator[Change]:
        """What becomes of an attention's P.

        Args:
            site: The attention.
        """
        part, heads = site.part(self), site.heads(self)
        if self.max_places is not None and part.layer.grid.places > self.max_places:
            return
        for row in site.rows(self):
            read = self._source_row(site, row)
            if read is None or read == row:
                continue
            function = partial(self._replaced, site, part, read)
            reads = (read,) if isinstance(read, int) else ()
            yield Acting([row], heads, part.queries, function, reads=reads)

    def _source_row(self, site: Site, row: int) -> int | _TraceRow | None:
        """Where a row's new P is from: a row of this call, or one of a trace; None where it has no source."""
        branch = site.call.rows[row].branch
        if isinstance(self.source, Trace):
            return _TraceRow.of(self.source, site, branch)
        source = site.row_of(branch, self.source)
        if source is None:
            raise EditError(
                f"{self}: the call of the model has no row of image {self.source} in the branch {branch!r}; give both "
                "prompts in one call of the pipeline"
            )
        return source

    def _replaced(self, site: Site, part: Part, source: int | _TraceRow, piece: Piece, spot: Spot) -> Piece:
        theirs = spot.of_row(source) if isinstance(source, int) else source.probability(spot).to(piece)
        own = site.columns(self, part, spot.row)
        share: Any = self.share.to(piece) if isinstance(self.share, Tensor) else self.share
        taken = theirs[..., self._their_columns(site, part, source, own)]
        if self.mapping is not None:
            taken = taken @ self.mapping.to(piece)
        changed = piece.clone()
        changed[..., own] = share * taken + (1 - share) * piece[..., own]
        return changed

    def _their_columns(self, site: Site, part: Part, source: int | _TraceRow, own: Any) -> Any:
        if self.words is None:
            return own
        if isinstance(source, int):
            tokens = tokens_of(self.words, site.run, site.call.rows[source])
        else:
            tokens = tokens_of(self.words, source.trace.run, source.row)
        if len(tokens) != len(own):
            raise EditError(
                f"{self}: the words have {len(tokens)} tokens in the source and {len(own)} here; say what becomes of "
                "each with mapping="
            )
        return [part.keys.start + token for token in tokens]


@_both
@dataclass(frozen=True)
class Freeze(Replace):
    """Self-attention from elsewhere, which keeps a picture's layout: `Freeze(trace)`, `Freeze(0, image=1)`.

    It is `Replace` for kind='self'; attributes, errors and cost are those of `Replace`.

    Source: Hertz et al. 2022, section 3.2; the authors' program does it for at most 32x32 places.
    """

    def __post_init__(self) -> None:
        if self.kind is None:
            object.__setattr__(self, "kind", "self")
        super().__post_init__()


@dataclass(frozen=True)
class _TraceRow:
    """The row of a trace that stands for one of a run: of the same layer, step and branch.

    Attributes:
        trace: The trace.
        query: Q of the row.
        key: K of the row.
        mask: Its mask.
        scale: Factor before the softmax.
        edited: P of the row where an edit had changed it.
        row: The row.
    """

    trace: Trace
    query: Tensor
    key: Tensor
    mask: Tensor | None
    scale: float
    edited: Tensor | None
    row: Row

    @classmethod
    def of(cls, trace: Trace, site: Site, branch: str) -> _TraceRow:
        """The row of a trace that stands for one of a run.

        Args:
            trace: The trace.
            site: The attention of the run.
            branch: The branch of the run's row.

        Raises:
            EditError: The trace lacks the layer, the step or the branch, or has other shapes.
        """
        layer, step = site.layer, next((step for step in trace.steps if step.index == site.call.step), None)
        lacking = f"the trace that attention is taken from has no {layer.id}"
        if step is None:
            raise EditError(f"{lacking} of step {site.call.step}: capture it with as many steps")
        try:
            call, at = row_of(step, None, branch, 0)
        except SelectionError:
            raise EditError(f"{lacking} for the branch {branch!r}: capture it, or choose branch=") from None
        if not trace.records.has(call.index, layer.id):
            raise EditError(f"{lacking} in step {site.call.step}: capture that layer")
        record = trace.records.get(call.index, layer.id)
        place = record.place_of(at)
        if place is None:
            raise EditError(f"{lacking} for the branch {branch!r}")
        theirs, here = ((*r.query.shape[1:3], r.key.shape[2]) for r in (record, site.record))
        if theirs != here:
            raise EditError(
                f"{layer.id} has (heads, queries, keys) {here}, and {theirs} in the trace that attention is "
                "taken from: both runs need the same size"
            )
        mask = record.mask
        return cls(
            trace,
            record.query[place],
            record.key[place],
            None if mask is None else mask[place if mask.shape[0] > 1 else 0],
            record.scale,
            None if record.edited is None else record.edited[place],
            call.rows[at],
        )

    def probability(self, spot: Spot) -> Piece:
        """P as it was used.

        Args:
            spot: Which heads and queries.
        """
        heads, queries = list(spot.heads), spot.queries
        if self.edited is not None:
            return self.edited[heads][:, queries]
        mask = self.mask
        if mask is not None:
            mask = mask[heads] if mask.shape[0] > 1 else mask
            mask = mask[:, queries] if mask.shape[1] > 1 else mask
        device = spot.of_tile.device
        q, k = (tensor.to(device, torch.float32)[heads] for tensor in (self.query, self.key))
        mask = None if mask is None else mask.to(device)
        return materialised(q[:, queries], k, scale=self.scale, mask=mask)

"""Q and K of one call of the model, as ComfyUI hands them to its attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from attnscope.errors import CaptureError
from attnscope.records import Grid, Row
from attnscope.records.qkv import Record

from .images import plain_tensors
from .sites import Site, SiteKey

_ARGUMENTS = ("q", "k", "v", "heads", "mask", "attn_precision", "skip_reshape", "skip_output_reshape")
_OTHERS = {"transformer_options", "_inside_attn_wrapper", "scale", "low_precision_attention"}


@dataclass
class SeenCall:
    """What one call of the model left.

    Attributes:
        rows: The rows of its batch that are kept.
        numbers: Their numbers in the batch.
        timestep: As the model got it.
        expected: The attentions that are kept of it.
        records: What was seen of them.
        grids: The grid of each.
        pending: The attention that comes next, if it is kept.
    """

    rows: tuple[Row, ...]
    numbers: tuple[int, ...]
    timestep: float
    expected: Mapping[SiteKey, Site]
    records: dict[SiteKey, Record] = field(default_factory=dict)
    grids: dict[SiteKey, Grid] = field(default_factory=dict)
    pending: tuple[SiteKey, Sequence[int]] | None = None

    def announce(self, key: SiteKey, shape: Sequence[int] | None) -> None:
        """An attention is about to run.

        Args:
            key: Which one.
            shape: (batch, channel, height, width) of what it attends over.

        Raises:
            CaptureError: The one before was never seen, or the shape is unknown.
        """
        self.check_pending()
        if key not in self.expected:
            return
        if shape is None or len(shape) != 4:
            raise CaptureError(
                f"{key} works on {shape}; expected a batch of pictures: (row, channel, height, width)"
            )
        self.pending = key, shape

    def check_pending(self) -> None:
        """Raise CaptureError if an attention was announced, and never seen."""
        if self.pending is not None:
            raise CaptureError(
                f"{self.pending[0]} ran unseen: another node computes it by itself; take that node out, or keep other "
                "kinds or blocks"
            )

    def see(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """The attention that was announced runs; others are none of the U-Net's own.

        Args:
            args: What ComfyUI's attention function gets.
            kwargs: The same, by name.

        Raises:
            CaptureError: Its shapes aren't those of the layer, or it came twice.
        """
        if self.pending is None:
            return
        (key, shape), self.pending = self.pending, None
        if key in self.records:
            raise CaptureError(
                f"{key} ran twice in one call of the model: another node repeats it; take it out"
            )
        given = _named(key, args, kwargs)
        grid = Grid(shape[2], shape[3])
        with plain_tensors():
            record = _record(key, self.expected[key], given, self.numbers)
        _check_shapes(key, record, shape[0], given["q"].shape[0], grid)
        self.records[key], self.grids[key] = record, grid

    def check_complete(self) -> None:
        """Raise CaptureError if an attention is missing."""
        self.check_pending()
        if missing := [key for key in self.expected if key not in self.records]:
            raise CaptureError(
                f"{missing[0]} did not run, or ran unseen ({len(missing)} of {len(self.expected)} are missing): "
                "another node skips or replaces it; take that node out, or keep other blocks"
            )


def _named(key: SiteKey, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    if unknown := [name for name in kwargs if name not in _ARGUMENTS and name not in _OTHERS]:
        raise CaptureError(
            f"{key} got {', '.join(unknown)}, which is unknown here: expected {', '.join(_ARGUMENTS)}; this "
            "ComfyUI may be newer than these nodes: update attnscope"
        )
    return dict(zip(_ARGUMENTS, args, strict=False)) | dict(kwargs)


def _record(key: SiteKey, site: Site, given: Mapping[str, Any], numbers: Sequence[int]) -> Record:
    heads, split = given["heads"], bool(given.get("skip_reshape"))
    query, key_ = (_kept(_by_head(given[name], heads, split), numbers) for name in ("q", "k"))
    if (heads, query.shape[-1]) != (site.heads, site.head_dim):
        raise CaptureError(
            f"{key} has {heads} heads of {query.shape[-1]}; expected {site.heads} of {site.head_dim}: another node "
            "changes it; take that node out"
        )
    scale = given.get("scale")
    return Record(
        query,
        key_,
        mask=_mask(key, given.get("mask"), given["q"].shape[0], numbers),
        scale=query.shape[-1] ** -0.5 if scale is None else float(scale),
        upcast=given.get("attn_precision") is torch.float32,
    )


def _by_head(tensor: Tensor, heads: int, is_split: bool) -> Tensor:
    if is_split:
        return tensor
    return tensor.reshape(tensor.shape[0], tensor.shape[1], heads, -1).transpose(1, 2)


def _kept(tensor: Tensor, numbers: Sequence[int]) -> Tensor:
    """Rows of a tensor as a copy in the host's memory, with the numbers that the model used."""
    rows = tensor.detach()
    if len(numbers) < len(rows):
        rows = rows[torch.as_tensor(numbers, device=rows.device)]
    return torch.empty(rows.shape, dtype=rows.dtype).copy_(rows)


def _mask(key: SiteKey, mask: Tensor | None, rows: int, numbers: Sequence[int]) -> Tensor | None:
    """The mask as numbers that are added: (row or 1, head or 1, query, key)."""
    if mask is None:
        return None
    if not mask.is_floating_point() or not 2 <= mask.ndim <= 4:
        raise CaptureError(
            f"{key} has a mask of {mask.dtype} and shape {tuple(mask.shape)}, which ComfyUI's attention functions read "
            "differently; expected numbers that are added to the scores: take out the node that sets it"
        )
    whole = mask[None, None] if mask.ndim == 2 else mask[:, None] if mask.ndim == 3 else mask
    if whole.shape[0] not in (1, rows):
        raise CaptureError(f"{key} has a mask for {whole.shape[0]} rows, and the batch has {rows}")
    return _kept(whole, numbers if whole.shape[0] == rows else [0])


def _check_shapes(key: SiteKey, record: Record, rows: int, seen_rows: int, grid: Grid) -> None:
    queries, keys = record.query.shape[2], record.key.shape[2]
    wanted = grid.places if key.kind == "self" else keys
    if (seen_rows, queries, keys) != (rows, grid.places, wanted):
        raise CaptureError(
            f"{key} has {queries} queries and {keys} keys in {seen_rows} rows; expected the {grid.places} places of a "
            f"{grid} grid in {rows}: another node merges or adds some, as token merging and HyperTile do; take it out"
        )

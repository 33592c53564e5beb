"""How attention behaves: how widely and how far heads look, what gets it for nothing, which heads are alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from attnscope.errors import ParameterError, SelectionError
from attnscope.measuring.numbers import LayerStatistics, Numbers
from attnscope.measuring.result import AttentionStatistics
from attnscope.measuring.sums import TILE_NUMBERS, RowSums, Tile, even_distance, row_sums
from attnscope.records import PLACE_KINDS, Kind, Layer, Token
from attnscope.spelling import both_spellings
from attnscope.trace.files import TraceSource, as_trace
from attnscope.trace.selection import pick_name, pick_number
from attnscope.trace.tokens import are_named
from attnscope.trace.trace import Trace

ROLES = ("start", "end", "padding")


@both_spellings("kinds", "blocks", "steps")
def statistics(
    trace: TraceSource,
    *,
    kinds: Kind | Sequence[Kind] | None = None,
    blocks: int | Sequence[int] | None = None,
    steps: int | Sequence[int] | slice | None = None,
    branch: str = "cond",
    image: int = 0,
    before_edits: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> AttentionStatistics:
    """The numbers of every layer, step and head: entropy, distance, sinks, similarity of heads.

    A layer is a softmax, as in `trace.layers`: a joint attention is one layer, whose queries are the picture's places
    and whose keys are the text and the places. What the numbers are says `LayerStatistics`.

    Args:
        trace: From `attnscope.capture` or `attnscope.load_trace`, or the folder of one.
        kinds: Kinds of the layers, such as 'self'. Default: all.
        blocks: Block numbers, from 1. Default: all.
        steps: Step numbers, from 0, or a slice. Default: all.
        branch: Guidance branch.
        image: Which picture of the batch, from 0.
        before_edits: P as it was before `attnscope.edit` changed it; by default as it was used.
        progress: Called as progress(done, total) after each layer.

    Returns:
        `attnscope.statistics(trace)[7, "cross"].entropy_bits` and so on; `.to_pandas()` for a table of all.

    Raises:
        SelectionError: The trace holds no Q and K, or nothing that was chosen.
        ParameterError: An edit left negative numbers in P, which have no entropy.

    Cost: P of every layer, step and head once, some rows at a time: 8 MB of it, and a few copies. A 64x64 layer of
    Stable Diffusion v1 takes about 0.9 s a step on one core.
    Source: entropy as in Clark et al. 2019, 'What does BERT look at?'; distance as in Dosovitskiy et al. 2021 (ViT),
    appendix D.7, weighted by P; similarity of heads as in Bian et al. 2021, 'On attention redundancy', the cosine.

    >>> import attnscope
    >>> pipe = attnscope.load_pipeline("demo")
    >>> with attnscope.capture(pipe) as trace:
    ...     result = pipe("a red house", num_inference_steps=2)
    >>> attnscope.statistics(trace, kind="self").to_dict()["layers"][0]["grid"]
    [32, 32]
    """
    trace = as_trace(trace)
    layers = _layers(trace, kinds, blocks)
    pick_name("branch", branch, trace.branches)
    pick_number("image", image, range(trace.images))
    indices = [step.index for step in trace.steps]
    wanted = [indices[at] for at in pick_number("step", steps, indices).positions]
    made: list[LayerStatistics] = []
    left_out: list[str] = []
    for done, layer in enumerate(layers, start=1):
        there = trace.steps_with(layer, branch, image)
        asked = _Asked(trace, layer, branch, image, before_edits)
        if chosen := [step for step in wanted if step in there]:
            made.append(_of_layer(asked, chosen))
        else:
            left_out.append(str(layer.id))
        if progress is not None:
            progress(done, len(layers))
    if not made:
        raise SelectionError(
            f"{', '.join(left_out)} ran for branch {branch!r} in none of these steps: choose others"
        )
    return AttentionStatistics(tuple(made), branch, image, tuple(left_out))


@dataclass(frozen=True)
class _Asked:
    """One layer of one image, and which of its queries and keys are what."""

    trace: Trace
    layer: Layer
    branch: str
    image: int
    before_edits: bool

    @property
    def frame(self) -> int:
        """Of a video whose frames share a softmax: which of them."""
        return self.image % self.layer.frames

    @property
    def own(self) -> range | None:
        """Numbers of the keys that are the image's own places, in the order of its grid."""
        places, are_said = self.layer.grid.places, bool(self.layer.parts)
        keys = _part(self.layer, "own") if are_said or self.layer.kind in PLACE_KINDS else None
        if keys is None or len(keys) != self.layer.frames * places:
            return None
        first = keys.start + self.frame * places
        return range(first, first + places)

    @property
    def text(self) -> range | None:
        """Numbers of the keys that are the text's tokens."""
        return _part(self.layer, "context") if self.layer.reads_text else None

    @property
    def tokens(self) -> Sequence[Token]:
        """The tokens of the text, if it is known what each of them is."""
        tokens = self.trace.tokens(self.image, self.branch)
        text = self.text
        return tokens if text is not None and len(tokens) == len(text) and are_named(tokens) else ()

    def tiles(self, step: int) -> Iterator[Tile]:
        """P of one step, some rows at a time."""
        layer, places = self.layer, self.layer.grid.places
        first = layer.queries_of("own").start + self.frame * places
        height = max(1, TILE_NUMBERS // (layer.heads * layer.keys))
        for start in range(0, places, height):
            rows = range(start, min(start + height, places))
            yield (
                rows,
                self.trace.probabilities(
                    layer=layer,
                    step=step,
                    branch=self.branch,
                    image=self.image - self.frame,
                    query=slice(first + rows.start, first + rows.stop),
                    before_edits=self.before_edits,
                ),
            )


def _part(layer: Layer, name: str) -> range | None:
    try:
        return layer.keys_of(name)
    except KeyError:
        return None


def _layers(
    trace: Trace, kinds: Kind | Sequence[Kind] | None, blocks: int | Sequence[int] | None
) -> list[Layer]:
    """The layers that were chosen, at least one."""
    every = trace.layers
    if not every or not trace.steps:
        raise SelectionError(
            "this trace holds no Q and K, from which statistics are made: capture with qk=True, which is the "
            "default"
        )
    wanted = every.kinds if kinds is None else (kinds,) if isinstance(kinds, str) else tuple(kinds)
    if unknown := [kind for kind in wanted if kind not in every.kinds]:
        raise SelectionError(
            f"kind {unknown[0]!r}: the layers of this trace are {', '.join(map(repr, every.kinds))}"
        )
    layers = [layer for layer in every if layer.kind in wanted]
    numbers = sorted({layer.block for layer in layers})
    chosen = {numbers[at] for at in pick_number("block", blocks, numbers).positions}
    return [layer for layer in layers if layer.block in chosen]


@torch.no_grad()
def _of_layer(asked: _Asked, steps: Sequence[int]) -> LayerStatistics:
    sums = [row_sums(asked.tiles(step), asked.layer.grid, asked.own) for step in steps]
    own, text, tokens = asked.own, asked.text, asked.tokens

    def share(keys: Sequence[int]) -> Numbers:
        return np.stack([(of.received[:, list(keys)].sum(1) / of.rows).numpy() for of in sums])

    entropy = np.stack([(of.entropy / of.rows).numpy() for of in sums]) / np.log(2)
    if not np.isfinite(entropy).all():
        raise ParameterError(
            f"P of {asked.layer.id} has negative numbers, which an edit left there and which have no entropy: ask with "
            "before_edits=True"
        )
    roles = {
        role: share([text.start + token.index for token in tokens if token.role == role])
        for role in ROLES
        if text is not None and tokens
    }
    return LayerStatistics(
        asked.layer,
        tuple(steps),
        np.maximum(entropy, 0),
        None if own is None else np.stack([_mean_distance(of, own) for of in sums]),
        None if own is None else even_distance(asked.layer.grid),
        None if own is None else np.stack([_strongest(of, own) for of in sums]),
        None if text is None else share(text),
        roles.get("start"),
        roles.get("end"),
        roles.get("padding"),
        _cosines(torch.stack([of.products for of in sums]).sum(0)),
    )


def _mean_distance(sums: RowSums, own: range) -> np.ndarray:
    assert sums.distance is not None
    return (sums.distance / sums.received[:, own.start : own.stop].sum(1)).numpy()


def _strongest(sums: RowSums, own: range) -> np.ndarray:
    return (sums.received[:, own.start : own.stop].amax(1) / sums.rows).numpy()


def _cosines(products: torch.Tensor) -> np.ndarray:
    lengths = products.diagonal().sqrt()
    cosines = (products / torch.outer(lengths, lengths)).clamp(0, 1).numpy()
    np.fill_diagonal(cosines, 1.0)
    return cosines

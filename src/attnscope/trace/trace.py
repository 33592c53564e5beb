"""What a capture gives back: Q and K of every layer and step, and exact probabilities on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import product
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxtyping import Float
from torch import Tensor

from attnscope.errors import ParameterError, SelectionError, describe_numbers, nearest
from attnscope.records import KINDS, Kind, Layer, LayerId, Row, Run, Step, Token, TokenSpan
from attnscope.records.qkv import Record
from attnscope.records.reduced import ReducedMaps
from attnscope.storage.folder import save_records
from attnscope.storage.memory import Records
from attnscope.trace.html import trace_html
from attnscope.trace.query import row_probability, summed_in_place
from attnscope.trace.selection import Pick, pick_name, pick_number, pick_place
from attnscope.trace.tokens import find_span, prompt_words

if TYPE_CHECKING:
    from PIL.Image import Image

MEAN_AXES = ("step", "branch", "image", "head", "query")


class Trace:
    """The attention of one run: select by block, kind, step, branch, image, head, query, token.

    It fills while the capture runs and stays readable afterwards, also after an exception: then it
    holds the steps that were complete. It needs neither the model nor a GPU.
    """

    def __init__(self, records: Records, run: Run | None = None) -> None:
        self.records = records
        self.run = run or Run()
        self.reduced: dict[str, ReducedMaps] = {}
        """Maps that `capture(keep=...)` reduced over the run, by their names there."""

    # What there is

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Captured layers in execution order: block 1 self, block 1 cross, block 2 self, ..."""
        ordered = sorted(self.records.layers, key=lambda layer: (layer.block, KINDS.index(layer.kind)))
        return tuple(self.records.layers[layer] for layer in ordered)

    @property
    def steps(self) -> tuple[Step, ...]:
        return tuple(self.records.steps)

    @property
    def rows(self) -> tuple[Row, ...]:
        """Rows of the U-Net's batch, as of the first step."""
        return self.records.steps[0].rows if self.records.steps else ()

    @property
    def branches(self) -> tuple[str, ...]:
        """Guidance branches in the model's order, e.g. ('uncond', 'cond')."""
        return tuple(dict.fromkeys(row.branch for step in self.records.steps for row in step.rows))

    @property
    def images(self) -> int:
        return len({row.image for row in self.rows}) or len(self.run.tokens)

    @property
    def picture(self) -> Image | None:
        """The first picture that the run made, when the capture saw it."""
        return self.run.pictures[0] if self.run.pictures else None

    def prompt(self, image: int = 0) -> str:
        """The prompt of one image; '' when the run got embeddings without one."""
        return self.run.prompts[image] if image < len(self.run.prompts) else ""

    def tokens(self, image: int = 0) -> tuple[Token, ...]:
        """Key positions of cross-attention; () when nothing is known of them."""
        return self.run.tokens[image] if image < len(self.run.tokens) else ()

    def words(self, image: int = 0) -> tuple[TokenSpan, ...]:
        """Words of the prompt with their token spans, in order."""
        return prompt_words(self.prompt(image), self.tokens(image))

    def reduced_maps(self, name: str, kind: Kind) -> ReducedMaps:
        """Reduced maps by name; SelectionError when there are none, or of the other kind."""
        if name not in self.reduced:
            known = nearest(name, self.reduced) or "none; capture(keep={...}) makes them"
            raise SelectionError(f"reduced maps {name!r}: this trace has {known}")
        found = self.reduced[name]
        if found.order.kind != kind:
            raise SelectionError(
                f"reduced maps {name!r} are of {found.order.kind}-attention, not of {kind}-attention"
            )
        return found

    def span(self, word: str, *, image: int = 0, occurrence: int = 0) -> TokenSpan:
        """Token span of a word or phrase; WordError lists the nearest ones."""
        return find_span(self.prompt(image), self.tokens(image), word, occurrence=occurrence)

    def layer(self, block: int, kind: Kind) -> Layer:
        """The layer of a block and kind; SelectionError says which there are."""
        if kind not in KINDS:
            raise SelectionError(f"kind {kind!r}: expected 'self' or 'cross'")
        if isinstance(block, int) and (found := self.records.layers.get(LayerId(block, kind))) is not None:
            return found
        blocks = sorted(layer.block for layer in self.records.layers if layer.kind == kind)
        raise SelectionError(
            f"block {block!r} {kind}: this trace has {kind} blocks {describe_numbers(blocks)}"
        )

    def record(self, *, block: int, kind: Kind, step: int = 0) -> Record:
        """Q and K (and V, mask) of one layer in one step, as the model computed them."""
        layer = self.layer(block, kind)
        (position,) = self._pick_steps(step).positions
        return self._get(self.steps[position].index, layer)

    def _get(self, step_index: int, layer: Layer) -> Record:
        if not self.records.has(step_index, layer.id):
            raise SelectionError(
                f"step {step_index} has no record of {layer.id}: that layer did not run there"
            )
        return self.records.get(step_index, layer.id)

    # Probabilities

    def probabilities(
        self,
        *,
        block: int,
        kind: Kind,
        step: int | Sequence[int] | slice | None = None,
        branch: str | Sequence[str] | None = None,
        image: int | Sequence[int] | None = None,
        head: int | Sequence[int] | slice | None = None,
        query: Any = None,
        token: int | str | Sequence[int] | slice | None = None,
        key: Any = None,
        mean: str | Iterable[str] = (),
        into: Tensor | None = None,
    ) -> Float[Tensor, ...]:
        """Exact attention probability of one layer; only what is asked for is computed.

        Axes: (step, branch, image, head, query, key). A single choice drops its axis, None keeps all
        of it; with one captured step there is no step axis. Without any choice,
        `.reshape(-1, queries, keys)` has the model's own leading axis, branch x image x head.

        query: (row, column), a flat index, a list of those, a slice, or a boolean region of the grid.
        token: cross-attention only; a number, several, or a word (all its tokens, axis kept).
        key: the same as query for self-attention, token numbers for cross-attention.
        mean: axes to average, of 'step', 'branch', 'image', 'head', 'query'. A mean over heads or
        queries is computed in tiles, never through (head, query, key).
        into: a tensor of the result's shape, which the result is added to and which is returned: sums over layers
        without a second array. All of step, branch and image must be single or averaged then.
        Returns float32 on the record's device; 0..1; rows sum to 1 over all keys.
        Raises SelectionError for what the trace lacks, ParameterError for an unknown mean axis.
        """
        layer = self.layer(block, kind)
        averaged = self._mean_axes(mean)
        steps, rows = self._pick_steps(step), self._row_finder()
        branches, images = pick_name("branch", branch, self.branches), self._pick_images(image)
        heads = pick_number("head", head, range(layer.heads))
        queries = pick_place("query", query, layer.grid)
        keys = self._pick_keys(layer, token, key, images)

        def add(places: tuple[int, ...], share: float, into: Tensor | None) -> Tensor:
            step_at, branch_at, image_at = places
            record = self._get(self.steps[step_at].index, layer)
            row = rows(step_at, self.branches[branch_at], image_at)
            return row_probability(record, row, heads, queries, keys, averaged, share, into)

        outer = {"step": steps, "branch": branches, "image": images}
        inner = {"head": heads, "query": queries, "key": keys}
        kept = {axis: pick for axis, pick in (outer | inner).items() if axis not in averaged}
        if into is not None:
            if several := [axis for axis in outer if axis in kept and not kept[axis].single]:
                raise ParameterError(
                    f"into takes one map: choose one {', '.join(several)}, or average over it"
                )
            sum_of = into[
                tuple(None if pick.single else slice(None) for axis, pick in kept.items() if axis in inner)
            ]
            share = 1 / prod(len(pick.positions) for pick in outer.values())
            for place in product(*(pick.positions for pick in outer.values())):
                add(place, share, sum_of)
            return into
        summed = summed_in_place(
            outer, kept, lambda: self._get(self.steps[steps.positions[0]].index, layer).query, add
        )
        return summed[tuple(0 if pick.single else slice(None) for pick in kept.values())]

    def _mean_axes(self, mean: str | Iterable[str]) -> tuple[str, ...]:
        axes = (mean,) if isinstance(mean, str) else tuple(mean)
        if unknown := [axis for axis in axes if axis not in MEAN_AXES]:
            raise ParameterError(f"mean over {unknown}: expected some of {list(MEAN_AXES)}")
        return axes

    def _pick_steps(self, step: Any) -> Pick:
        available = [step.index for step in self.records.steps]
        if not available:
            raise SelectionError("this trace has no step: the pipeline did not run inside the capture")
        return pick_number("step", step, available, single_if_alone=True)

    def _pick_images(self, image: Any) -> Pick:
        return pick_number("image", image, sorted({row.image for step in self.steps for row in step.rows}))

    def _row_finder(self) -> Callable[[int, str, int], int]:
        tables = [{(r.branch, r.image): at for at, r in enumerate(s.rows)} for s in self.records.steps]

        def find(step_at: int, branch: str, image: int) -> int:
            try:
                return tables[step_at][branch, image]
            except KeyError:
                raise SelectionError(
                    f"step {self.steps[step_at].index} has no row for branch {branch!r}, image {image}; "
                    f"it has {[(row.branch, row.image) for row in self.steps[step_at].rows]}"
                ) from None

        return find

    def _pick_keys(self, layer: Layer, token: Any, key: Any, images: Pick) -> Pick:
        if layer.kind == "self":
            if token is not None:
                raise SelectionError(f"{layer.id} has no tokens: its keys are places; use key=(row, column)")
            return pick_place("key", key, layer.grid)
        if token is not None and key is not None:
            raise SelectionError("token and key both choose the keys of cross-attention: give one of them")
        choice = key if token is None else token
        if isinstance(choice, str):
            spans = {self.span(choice, image=image).tokens for image in images.positions}
            if len(spans) > 1:
                raise SelectionError(
                    f"token {choice!r} stands at other numbers in other images: choose image="
                )
            return Pick(list(spans.pop()), False)
        return pick_number("token", choice, range(layer.keys))

    # Files

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write the trace as a folder (docs/trace-format.md), whole or not at all; returns its path."""
        return save_records(self.records, self.run, self.reduced, folder, overwrite=overwrite)

    def _repr_html_(self) -> str:
        """For notebooks."""
        return trace_html(self)

    def __repr__(self) -> str:
        planned = f" of {self.run.planned_steps}" if self.run.planned_steps else ""
        return (
            f"<Trace {len(self.records.layers)} layers, {len(self.steps)}{planned} steps, "
            f"{self.images} image(s), branches {', '.join(self.branches) or 'none'}>"
        )

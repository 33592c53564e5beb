"""A word's map in every head of every block, each at its layer's own grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from attnscope.errors import ParameterError
from attnscope.files import check_free
from attnscope.heatmap.asked import Word, as_span, key_axis, layers_that_read, read_branch
from attnscope.heatmap.head_picture import Scale, draw_heads
from attnscope.heatmap.picture_keys import picture_span
from attnscope.pictures.overlays import png_bytes
from attnscope.pictures.writing import write_picture
from attnscope.records import Kind, Layer
from attnscope.spelling import both_spellings
from attnscope.trace.files import TraceSource, as_trace
from attnscope.trace.selection import pick_number
from attnscope.trace.trace import Trace

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, eq=False, repr=False)
class HeadGrid:
    """Where each head of each block looks up a word.

    Attributes:
        word: The word.
        layers: A layer for each row, in the order in which they ran.
        heads: The numbers of each layer's heads.
        maps: For each layer (head, height, width) at its own grid: the share of attention that one token of the word
            receives, 0..1, the mean over steps.
        steps: How many steps they are the mean of.
    """

    word: str
    layers: tuple[Layer, ...]
    heads: tuple[tuple[int, ...], ...]
    maps: tuple[Float[np.ndarray, "head height width"], ...]
    steps: int

    def __len__(self) -> int:
        return len(self.maps)

    def __repr__(self) -> str:
        counts = sorted({len(of_layer) for of_layer in self.heads})
        heads = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        return (
            f"<HeadGrid {self.word!r}, {len(self)} layers, {heads} heads each, mean over {self.steps} steps>"
        )

    @property
    def shares(self) -> Float[np.ndarray, "layer head"]:
        """The mean over places of each map, 0..1; NaN where a layer has fewer heads than another one."""
        table = np.full((len(self), max(map(len, self.heads))), np.nan)
        for row, of_layer in zip(table, self.maps, strict=True):
            row[: len(of_layer)] = of_layer.mean((1, 2))
        return table

    def picture(self, *, scale: Scale = "all") -> Image:
        """All maps on one page: a row for each layer, a column for each head, the mean share under each map.

        Args:
            scale: "all": the brightest colour is the largest value of all maps. "row": that of each row, so that maps
                of different layers do not compare.

        Raises:
            ParameterError: The scale is another word.
        """
        if scale not in ("all", "row"):
            raise ParameterError(f"scale {scale!r}: expected 'all' (one scale for all maps) or 'row'")
        return draw_heads(self.word, self.layers, self.heads, self.maps, self.steps, scale)

    def _repr_png_(self) -> bytes:
        """For notebooks."""
        return png_bytes(self.picture())

    def save(self, path: str | Path, *, scale: Scale = "all", overwrite: bool = False) -> Path:
        """Write the page to a file, whole or not at all, and return its path.

        Args:
            path: Ends in .png, .jpg or .webp.
            scale: As for `picture`.
            overwrite: Write over a file that is there already.

        Raises:
            OutputError: The file is there already, or can't be written.
            ParameterError: The name has another ending.
        """
        target = Path(path)
        if target.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
            raise ParameterError(
                f"{target}: expected .png, .jpg or .webp; the numbers are in .maps, an array for each layer"
            )
        check_free([target], overwrite=overwrite)
        write_picture(self.picture(scale=scale), target)
        return target


@both_spellings("steps", "blocks", "heads")
def head_grid(
    trace: TraceSource,
    word: Word,
    *,
    steps: int | Sequence[int] | slice | None = None,
    blocks: int | Sequence[int] | None = None,
    heads: int | Sequence[int] | None = None,
    branch: str | None = None,
    image: int = 0,
    occurrence: int = 0,
    kind: Kind = "cross",
) -> HeadGrid:
    """Where each head of each block looks up a word: small maps, a row for each layer.

    Args:
        trace: From `attnscope.capture` or `attnscope.load_trace`, or the folder of one.
        word: As for `heat_map`.
        steps: Step numbers from 0, or a slice, that maps are the mean of. Default: all.
        blocks: Block numbers from 1. Default: all.
        heads: Head numbers from 0. Default: all of each layer; layers may have different numbers of them.
        branch: As for `heat_map`.
        image: As for `heat_map`.
        occurrence: As for `heat_map`.
        kind: As for `heat_map`.

    Returns:
        The maps, at each layer's own grid. They are what `trace.probabilities` gives, and nothing is resized.

    Raises:
        WordError: The branch's text does not hold the word.
        SelectionError: The trace has no cross-attention, or no such block, step, head, branch or image.

    Cost: that of one heat map.

    >>> import attnscope
    >>> pipe = attnscope.load_pipeline("demo")
    >>> with attnscope.capture(pipe, kind="cross") as trace:
    ...     result = pipe("a red house", num_inference_steps=2)
    >>> attnscope.head_grid(trace, "house")
    <HeadGrid 'house', 16 layers, 8 heads each, mean over 2 steps>
    """
    trace = as_trace(trace)
    branch = read_branch(trace, branch, None)
    is_text = kind == "cross"
    span = as_span(trace, word, branch, image, occurrence) if is_text else picture_span(trace, word, kind)
    layers = tuple(layers_that_read(trace, kind, blocks))
    numbers = tuple(_head_numbers(layer, heads) for layer in layers)
    choice: dict[str, Any] = {"step": steps, "branch": branch, "image": image}
    maps = tuple(
        _maps_of(trace, layer, list(span.tokens), choice | {"head": list(of_layer)})
        for layer, of_layer in zip(layers, numbers, strict=True)
    )
    count = len(pick_number("step", steps, [step.index for step in trace.steps]).positions)
    return HeadGrid(span.word, layers, numbers, maps, count)


def _head_numbers(layer: Layer, heads: Any) -> tuple[int, ...]:
    return tuple(pick_number("head", heads, range(layer.heads)).positions)


def _maps_of(
    trace: Trace, layer: Layer, tokens: list[int], choice: dict[str, Any]
) -> Float[np.ndarray, "head height width"]:
    shares = trace.probabilities(layer=layer, mean="step", **choice | {key_axis(layer): tokens}).mean(-1)
    return shares.detach().cpu().numpy().reshape(-1, *layer.grid)

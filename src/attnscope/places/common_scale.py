"""One scale for the maps of all words of a text, so that an ignored word looks ignored beside the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float

from attnscope.errors import ParameterError, WordError
from attnscope.heatmap.heat_map import heat_maps
from attnscope.places.view import View
from attnscope.records import TokenSpan
from attnscope.trace.files import TraceSource, as_trace
from attnscope.trace.trace import Trace


def words_maximum(trace: TraceSource, view: View) -> float:
    """The largest value in the heat maps of all words of the text, 0..1; start, end and padding do not count.

    Args:
        trace: A trace with cross-attention.
        view: Which block, head, step, branch and image.

    Raises:
        WordError: The branch's text has no words that are known.
        SelectionError: The trace lacks something that the view names.

    Cost: that of one heat map, and resizing each word's map of each block.
    """
    return float(_word_maps(as_trace(trace), view).max())


def block_words_maxima(trace: TraceSource, view: View) -> Iterator[tuple[int | None, float]]:
    """`words_maximum` for each block by itself, as (block, value), the common scales of `word_block_maps`; then for the
    mean over all blocks, as (None, value).

    Args:
        trace: A trace with cross-attention.
        view: Its block is not used.

    Raises:
        WordError: The branch's text has no words that are known.
        SelectionError: The trace lacks something that the view names.

    Cost: that of one `words_maximum` of all blocks.
    """
    trace = as_trace(trace)
    layers = trace.layers_of_kind("cross")
    total = np.zeros(())
    for layer in layers:
        maps = _word_maps(trace, replace(view, block=layer.block))
        yield layer.block, float(maps.max())
        total = total + maps.astype(np.float64)
    yield None, float(total.max()) / len(layers)


def head_words_maxima(trace: TraceSource, view: View) -> Iterator[tuple[int, float]]:
    """The same for each head of one block, on the block's grid, as (head, value): the scales of `word_head_maps`.

    Args:
        trace: A trace with cross-attention.
        view: Its block is needed; its head is not used.

    Raises:
        ParameterError: The view names no block.
        WordError: The branch's text has no words that are known.
        SelectionError: The trace lacks something that the view names.
    """
    trace = as_trace(trace)
    if view.block is None:
        raise ParameterError("heads are those of one block: choose block=")
    words = _words(trace, view)
    tokens = sorted({token for word in words for token in word.tokens})
    shares = trace.probabilities(
        block=view.block,
        kind="cross",
        token=tokens,
        mean=("step",) if view.step is None else (),
        step=view.step,
        branch=view.branch,
        image=view.image,
    )
    columns = [[tokens.index(token) for token in word.tokens] for word in words]
    of_words = torch.stack([shares[..., own].mean(-1).amax(-1) for own in columns])
    yield from enumerate(of_words.amax(0).tolist())


def _word_maps(trace: Trace, view: View) -> Float[np.ndarray, "word height width"]:
    heats = heat_maps(
        trace,
        _words(trace, view),
        steps=view.step,
        blocks=view.block,
        heads=view.head,
        branch=view.branch,
        image=view.image,
    )
    return np.stack([heat.array for heat in heats])


def _words(trace: Trace, view: View) -> tuple[TokenSpan, ...]:
    """The words that the branch reads."""
    words = trace.words(view.image, view.branch)
    if not words:
        raise WordError(
            f"branch {view.branch!r} of image {view.image} reads no words that are known; expected a text with words"
        )
    return words

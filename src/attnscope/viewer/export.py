"""One self-contained page of a trace: opens from disk, without a server, for mail or a paper's supplement.

The page is the viewer's own with its answers inside: for every place of a grid of at most 32x32 where it looks, in
every block and over all; every word; segments at some thresholds. Maps are means over heads and steps, coarser grids
of summed cells where the model's are finer, 8 bits a value. Single steps are coarser, as fine as fits (packing.py).
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from attnscope import places
from attnscope.errors import ParameterError
from attnscope.files import check_free, whole_file
from attnscope.heatmap.heat_map import heat_maps
from attnscope.places import View
from attnscope.records import TokenSpan
from attnscope.segmentation.methods.diffseg import DiffSegRecipe, per_pass
from attnscope.trace.trace import Trace
from attnscope.viewer import page
from attnscope.viewer.aggregates import Aggregate, Source
from attnscope.viewer.described import segments_info
from attnscope.viewer.opened import OpenTrace
from attnscope.viewer.packing import (
    LEVELS,
    LEVELS_OF_STEPS,
    Singles,
    deflated,
    fewer_places,
    fitting_singles,
    packed,
)

MOST_STEPS = 20
"""Single steps of a page, where nobody asks for more or fewer."""
PICTURE_PX = 1024
LABELS_PX = 512
THRESHOLD_FACTORS = (0.4, 0.6, 0.8, 1.0, 1.3, 1.7, 2.2, 3.0, 5.0)
"""Of the model's own threshold: what the page's slider offers."""

Progress = Callable[[int, int], None]


def export_page(
    trace: Trace | str | Path,
    target: str | Path,
    *,
    step: int | None = None,
    branch: str = "cond",
    image: int = 0,
    single_steps: int = MOST_STEPS,
    progress: Progress | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the page of one image of a trace; whole or not at all.

    Args:
        trace: A trace of one pass, or its folder.
        target: File to write.
        step: One step; the mean over all by default.
        branch: Guidance branch.
        image: Number of the image in the batch.
        single_steps: The most steps that the page has singly, beside their mean; of a longer run evenly chosen ones. 0
            for none.
        progress: Called as progress(done, total).
        overwrite: Write over a file that is there already.

    Returns:
        The file's path.

    Raises:
        OutputError: The file is there already, or can't be written.
        SelectionError: The trace lacks something that was chosen.
        ParameterError: A negative number of single steps.

    Cost: the head mean of every self-attention layer and step, twice (places, segments), and a heat map of every
    word in every block, over all steps and in each single one. A page of 2 to 8 MB, and at most 6 MB for single steps.
    """
    path = Path(target)
    if single_steps < 0:
        raise ParameterError(f"single_steps is {single_steps}; expected 0 or more")
    check_free([path], overwrite=overwrite)
    opened = OpenTrace.of(0, trace)
    view = View(None, None, step, branch, image)
    data = json.dumps(_page_data(opened, view, single_steps, progress or (lambda done, total: None)))
    markup = f'<script type="application/json" id="data">{data.replace("<", chr(92) + "u003c")}</script>'
    style = "".join(f"<style>{page.static_files()[name].decode()}</style>" for name in page.style_names())
    with whole_file(path) as partial:
        partial.write_text(page.html(_inside, style, markup), "utf-8")
    return path


def _inside(file: str) -> str:
    return page.data_address("export-source.js" if file == "source.js" else file)


def _page_data(opened: OpenTrace, view: View, single_steps: int, progress: Progress) -> dict[str, Any]:
    trace = opened.trace
    places.check_choice(trace, view.step, view.branch, view.image)
    info = opened.info
    image = info.images[view.image]
    image.texts = {view.branch: image.texts[view.branch]}
    info.images, info.branches, info.step = [image], [view.branch], None
    info.folder = info.model = None  # they may be paths of this machine
    spans = _spans(trace, view.image, view.branch)
    singles = fitting_singles(trace, view, len(spans), single_steps)
    averaged = [step for step in info.steps if view.step in (None, step.index)]
    info.steps = (
        averaged if len(averaged) == 1 else [step for step in averaged if step.index in singles.steps]
    )
    own, cross = trace.layers.of_kind("self"), trace.layers.of_kind("cross")
    of_places, of_words = len(own) * len(averaged), (len(cross) + 1) * (1 + len(singles.steps))
    total = 2 * of_places + of_words
    return {
        "trace": info.model_dump(),
        "picture": _picture(trace, view.image),
        "run": {"steps": len(averaged), "cells": singles.detail.cells},
        **_maps(trace, view, singles, spans, lambda done: progress(done, total)),
        "segments": _segments(opened, view, lambda done, _: progress(of_places + of_words + done, total))
        if own
        else [],
    }


def _maps(
    trace: Trace, view: View, singles: Singles, spans: Sequence[TokenSpan], progress: Callable[[int], None]
) -> dict[str, Any]:
    """Of the view, and of each single step under "steps": by block (or "all") the map of every place and every word,
    and what places take from tokens."""
    found: dict[int | None, dict[str, Any]] = {
        step: {"places": {}, "words": {}, "shares": None} for step in (None, *singles.steps)
    }
    done = _add_places(found, trace, view, singles, progress)
    for step, maps in found.items():
        at = view if step is None else replace(view, step=step)
        for block, words in _words(trace, at, spans):
            longest = _longest_of_words(singles, step, block)
            size = places.coarse(words.shape[1:], longest)
            maps["words"][_name(block)] = packed(adaptive_avg_pool2d(words, size), size, _levels(step))
            done += 1
            progress(done)
        maps["shares"] = _shares(trace, at, singles, step)
    return {**found.pop(None), "steps": {str(step): maps for step, maps in found.items()}}


def _levels(step: int | None) -> int:
    return LEVELS if step is None else LEVELS_OF_STEPS


def _name(block: int | None) -> str:
    return "all" if block is None else str(block)


def _add_places(
    found: dict[int | None, dict[str, Any]],
    trace: Trace,
    view: View,
    singles: Singles,
    progress: Callable[[int], None],
) -> int:
    """How many layers of steps there were."""
    done = 0

    def count(now: int) -> None:
        nonlocal done
        done = now
        progress(now)

    detail = singles.detail
    choice: dict[str, Any] = {"singly": singles.steps, "longest_of_steps": detail.cells, "progress": count}
    for block, grid, maps, step in places.every_place(trace, view, **choice):
        if step is not None:
            maps, grid = fewer_places(maps, grid, detail.all_looking if block is None else detail.looking)
        found[step]["places"][_name(block)] = packed(maps, grid, _levels(step))
    return done


def _longest_of_words(singles: Singles, step: int | None, block: int | None) -> int:
    if step is None:
        return places.LONGEST
    return singles.detail.all_word_cells if block is None else singles.detail.word_cells


def _words(
    trace: Trace, view: View, spans: Sequence[TokenSpan]
) -> Iterator[tuple[int | None, Float[Tensor, "word height width"]]]:
    """(block, or None for all; the map of every word, then of start, end and padding)."""
    cross = trace.layers.of_kind("cross")
    if not cross or not spans:
        return
    choice: dict[str, Any] = {"steps": view.step, "branch": view.branch, "image": view.image}
    for block in (None, *(layer.block for layer in cross)):
        maps = heat_maps(trace, spans, blocks=block, **choice)
        yield block, torch.from_numpy(np.stack([heat.array for heat in maps]))


def _spans(trace: Trace, image: int, branch: str) -> list[TokenSpan]:
    """Tokens of each word, then of each role, in the page's own order."""
    of_roles = (
        TokenSpan(
            role, 0, 0, tuple(token.index for token in trace.tokens(image, branch) if token.role == role)
        )
        for role in ("start", "end", "padding")
    )
    return [*trace.words(image, branch), *(span for span in of_roles if span.tokens)]


def _shares(trace: Trace, view: View, singles: Singles, step: int | None) -> dict[str, Any] | None:
    """What every place takes from each token, mean over all blocks."""
    longest = places.LONGEST if step is None else singles.detail.all_looking
    shares = places.every_places_words(trace, view, longest=longest)
    if shares is None:
        return None
    grid, of_places = shares
    return packed(of_places.reshape(len(of_places), 1, -1), grid)


def _segments(opened: OpenTrace, view: View, progress: Progress) -> list[dict[str, Any]]:
    aggregate = Aggregate(opened.trace, Source(view.step, view.branch, view.image), told=progress)
    aggregate.compute()
    if aggregate.failure is not None:
        raise aggregate.failure
    names = tuple(range(len(opened.trace.words(view.image, view.branch))))
    threshold = opened.info.threshold
    segmentations = []
    for tau in (float(f"{threshold * factor:.3g}") for factor in THRESHOLD_FACTORS):
        segmentation = aggregate.segmented(DiffSegRecipe(per_pass(tau), unite=False), names)
        labels = Image.fromarray(segmentation.labels.astype(np.int32))
        labels.thumbnail((LABELS_PX, LABELS_PX), Image.Resampling.NEAREST)
        described = segments_info(segmentation)
        for segment in described.segments:
            segment.rle = {}
        segmentations.append(
            {
                "threshold": tau,
                "found": described.model_dump(),
                "labels_height": labels.height,
                "labels_width": labels.width,
                "labels": deflated(np.asarray(labels).astype("<u2").tobytes()),
            }
        )
    return segmentations


def _picture(trace: Trace, image: int) -> str | None:
    if (shown := trace.picture_of(image)) is None:
        return None
    picture = shown.convert("RGB")
    picture.thumbnail((PICTURE_PX, PICTURE_PX))
    body = io.BytesIO()
    picture.save(body, format="WEBP", quality=88)
    return "data:image/webp;base64," + base64.b64encode(body.getvalue()).decode()

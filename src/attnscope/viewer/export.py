"""One self-contained page of a trace: opens from disk, without a server, for mail or a paper's supplement.

The page is the viewer's own with its answers inside: for every place of a grid of at most 32x32 where it looks, in
every block and over all; every word; segments at some thresholds. Maps are means over heads and steps, coarser grids
of summed cells where the model's are finer, 8 bits a value.
"""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, interpolate

from attnscope import places
from attnscope.errors import OutputError
from attnscope.files import whole_file
from attnscope.places import View
from attnscope.records import Layer
from attnscope.segmentation.recipe import Recipe, per_pass
from attnscope.trace.trace import Trace
from attnscope.viewer import page
from attnscope.viewer.aggregates import Aggregate, Source
from attnscope.viewer.answers import segments_info
from attnscope.viewer.opened import OpenTrace

FINEST = 32
"""Longer side of the grids in the page."""
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
    progress: Progress | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the page of one image of a trace; whole or not at all. Returns its path.

    step: the mean over all by default. progress: called as progress(done, total).
    Raises OutputError where something is there already, SelectionError for what the trace lacks.
    Cost: the head mean of every self-attention layer and step, twice (places, segments), and a heat map of every
    word in every block; a page of 2 to 8 MB.
    """
    path = Path(target)
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already: choose another name, or overwrite it")
    opened = OpenTrace.of(0, trace)
    view = View(None, None, step, branch, image)
    data = json.dumps(_page_data(opened, view, progress or (lambda done, total: None)))
    markup = f'<script type="application/json" id="data">{data.replace("<", chr(92) + "u003c")}</script>'
    style = f"<style>{page.static_files()['viewer.css'].decode()}</style>"
    with whole_file(path) as partial:
        partial.write_text(page.html(_inside, style, markup), "utf-8")
    return path


def _inside(file: str) -> str:
    return page.data_address("export-source.js" if file == "source.js" else file)


def _page_data(opened: OpenTrace, view: View, progress: Progress) -> dict[str, Any]:
    trace = opened.trace
    places.check_choice(trace, view.step, view.branch, view.image)
    info = opened.info
    info.images, info.branches, info.step = [info.images[view.image]], [view.branch], None
    info.folder = info.model = None  # they may be paths of this machine
    info.steps = [one for one in info.steps if view.step in (None, one.index)]
    own, cross = ([layer for layer in trace.layers if layer.kind == kind] for kind in ("self", "cross"))
    steps = [one.index for one in info.steps]
    of_places, of_words = len(own) * len(steps), len(cross) + 1
    total = 2 * of_places + of_words
    return {
        "trace": info.model_dump(),
        "picture": _picture(trace, view.image),
        "places": dict(_places(trace, own, view, steps, lambda done: progress(done, total))),
        "shares": _shares(trace, cross, view),
        "words": dict(_words(trace, cross, view, lambda done: progress(of_places + done, total))),
        "segments": _segments(opened, view, lambda done, _: progress(of_places + of_words + done, total))
        if own
        else [],
    }


def _places(
    trace: Trace, layers: Sequence[Layer], view: View, steps: Sequence[int], progress: Callable[[int], None]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Block (or "all") -> the map of every place."""
    together: Float[Tensor, "query height width"] | None = None
    grids = [_coarse(tuple(layer.grid)) for layer in layers]
    finest = max(grids, key=lambda grid: grid[0] * grid[1], default=(1, 1))
    choice: dict[str, Any] = {"branch": view.branch, "image": view.image}
    done = 0
    for layer, grid in zip(layers, grids, strict=True):
        total: Tensor | None = None
        for step in steps:
            total = trace.probabilities(
                block=layer.block, kind="self", step=step, mean="head", into=total, **choice
            )
            done += 1
            progress(done)
        assert total is not None
        of_places = _coarser(total.cpu() / len(steps), tuple(layer.grid), grid)
        yield str(layer.block), _packed(of_places, grid)
        share = _spread(of_places, grid, finest) / len(layers)
        together = share if together is None else together.add_(share)
    if together is not None:
        yield "all", _packed(together, finest)


def _coarse(grid: tuple[int, ...]) -> tuple[int, int]:
    """The grid that is written: sides divided by the least whole number that makes both at most FINEST, rounded up."""
    factor = -(-max(grid) // FINEST)
    return -(-grid[0] // factor), -(-grid[1] // factor)


def _coarser(
    probabilities: Float[Tensor, "query key"], grid: tuple[int, ...], to: tuple[int, int]
) -> Float[Tensor, "place height width"]:
    """Mean over the queries and sum over the keys of each coarser cell; cells at the far edges may be smaller."""
    keys = probabilities.view(-1, 1, *grid)
    if tuple(grid) == to:
        return keys[:, 0]
    factor = -(-max(grid) // FINEST)
    settings: dict[str, Any] = {"kernel_size": factor, "ceil_mode": True}
    summed = avg_pool2d(keys, divisor_override=1, **settings).view(*grid, to[0] * to[1]).permute(2, 0, 1)
    return avg_pool2d(summed, **settings).permute(1, 2, 0).reshape(-1, *to)


def _spread(
    of_places: Float[Tensor, "place h w"], grid: tuple[int, int], finest: tuple[int, int]
) -> Float[Tensor, "place height width"]:
    """As `places.box_map` for all blocks: keys resized bilinearly and scaled to sum 1, queries repeated."""
    large = interpolate(of_places[:, None], size=finest, mode="bilinear", align_corners=False)[:, 0]
    large = large / large.sum((1, 2), keepdim=True)
    rows, columns = (torch.arange(to) * of // to for of, to in zip(grid, finest, strict=True))
    return large.view(*grid, *finest)[rows[:, None], columns].flatten(0, 1)


def _words(
    trace: Trace, cross: Sequence[Layer], view: View, progress: Callable[[int], None]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Block (or "all") -> the map of every word, then of start, end and padding."""
    spans = _spans(trace, view.image)
    if not cross or not spans:
        return
    for done, block in enumerate((None, *(layer.block for layer in cross)), start=1):
        found = [
            places.word_map(trace, View(block, None, view.step, view.branch, view.image), span)
            for span in spans
        ]
        size = _coarse(found[0].shape)
        small = adaptive_avg_pool2d(torch.from_numpy(np.stack(found)), size)
        yield "all" if block is None else str(block), _packed(small, size)
        progress(done)


def _spans(trace: Trace, image: int) -> list[tuple[int, ...]]:
    """Tokens of each word, then of each role, in the page's own order."""
    roles = {
        role: tuple(token.index for token in trace.tokens(image) if token.role == role)
        for role in ("start", "end", "padding")
    }
    return [span.tokens for span in trace.words(image)] + [tokens for tokens in roles.values() if tokens]


def _shares(trace: Trace, cross: Sequence[Layer], view: View) -> dict[str, Any] | None:
    """What every place takes from each token, mean over all blocks."""
    if not cross:
        return None
    finest = max((_coarse(tuple(layer.grid)) for layer in cross), key=lambda grid: grid[0] * grid[1])
    choice: dict[str, Any] = {"step": view.step, "branch": view.branch, "image": view.image}
    averaged = ("head",) if view.step is not None else ("step", "head")
    of_layers = []
    for layer in cross:
        shares = trace.probabilities(block=layer.block, kind="cross", mean=averaged, **choice).cpu()
        of_layers.append(_at_places(shares.T.view(-1, *layer.grid), finest))
    together = torch.stack(of_layers).mean(0)
    return _packed(together.flatten(1).T.reshape(-1, 1, len(together)), finest)


def _at_places(
    values: Float[Tensor, "value h w"], grid: tuple[int, int]
) -> Float[Tensor, "value height width"]:
    """Values of a finer or coarser grid at the places of another: means, or repeated."""
    if values.shape[1] > grid[0]:
        return adaptive_avg_pool2d(values, grid)
    rows, columns = (torch.arange(to) * of // to for of, to in zip(values.shape[1:], grid, strict=True))
    return values[:, rows[:, None], columns]


def _segments(opened: OpenTrace, view: View, progress: Progress) -> list[dict[str, Any]]:
    aggregate = Aggregate(opened.trace, Source(view.step, view.branch, view.image), told=progress)
    aggregate.compute()
    if aggregate.failure is not None:
        raise aggregate.failure
    names = tuple(range(len(opened.trace.words(view.image))))
    threshold = opened.info.threshold
    found = []
    for tau in (float(f"{threshold * factor:.3g}") for factor in THRESHOLD_FACTORS):
        one = aggregate.segmented(Recipe(per_pass(tau), unite=False), names)
        labels = Image.fromarray(one.labels.astype(np.int32))
        labels.thumbnail((LABELS_PX, LABELS_PX), Image.Resampling.NEAREST)
        described = segments_info(aggregate, one)
        for segment in described.segments:
            segment.rle = {}
        found.append(
            {
                "threshold": tau,
                "found": described.model_dump(),
                "labels_height": labels.height,
                "labels_width": labels.width,
                "labels": _deflated(np.asarray(labels).astype("<u2").tobytes()),
            }
        )
    return found


def _packed(of_places: Float[Tensor, "place height width"], grid: tuple[int, int]) -> dict[str, Any]:
    """Maps of 8 bits, each scaled to its own maximum; grid: of the places that they belong to."""
    flat = of_places.flatten(1)
    maxima = flat.amax(1, keepdim=True)
    levels = (flat / maxima.clamp_min(1e-30) * 255).round().to(torch.uint8)
    return {
        "grid": grid,
        "height": of_places.shape[1],
        "width": of_places.shape[2],
        "levels": _deflated(levels.numpy().tobytes()),
        "maxima": _deflated(maxima.float().numpy().astype("<f4").tobytes()),
    }


def _deflated(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content, 9)).decode()


def _picture(trace: Trace, image: int) -> str | None:
    if image >= len(trace.run.pictures):
        return None
    picture = trace.run.pictures[image].convert("RGB")
    picture.thumbnail((PICTURE_PX, PICTURE_PX))
    body = io.BytesIO()
    picture.save(body, format="WEBP", quality=88)
    return "data:image/webp;base64," + base64.b64encode(body.getvalue()).decode()

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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from attnscope import places
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
    """Write the page of one image of a trace; whole or not at all.

    Args:
        trace: A trace of one pass, or its folder.
        target: File to write.
        step: One step; the mean over all by default.
        branch: Guidance branch.
        image: Number of the image in the batch.
        progress: Called as progress(done, total).
        overwrite: Write over a file that is there already.

    Returns:
        The file's path.

    Raises:
        OutputError: The file is there already, or can't be written.
        SelectionError: The trace lacks something that was chosen.

    Cost: the head mean of every self-attention layer and step, twice (places, segments), and a heat map of every
    word in every block; a page of 2 to 8 MB.
    """
    path = Path(target)
    check_free([path], overwrite=overwrite)
    opened = OpenTrace.of(0, trace)
    view = View(None, None, step, branch, image)
    data = json.dumps(_page_data(opened, view, progress or (lambda done, total: None)))
    markup = f'<script type="application/json" id="data">{data.replace("<", chr(92) + "u003c")}</script>'
    style = "".join(f"<style>{page.static_files()[name].decode()}</style>" for name in page.style_names())
    with whole_file(path) as partial:
        partial.write_text(page.html(_inside, style, markup), "utf-8")
    return path


def _inside(file: str) -> str:
    return page.data_address("export-source.js" if file == "source.js" else file)


def _page_data(opened: OpenTrace, view: View, progress: Progress) -> dict[str, Any]:
    trace = opened.trace
    places.check_choice(trace, view.step, view.branch, view.image)
    info = opened.info
    image = info.images[view.image]
    image.texts = {view.branch: image.texts[view.branch]}
    info.images, info.branches, info.step = [image], [view.branch], None
    info.folder = info.model = None  # they may be paths of this machine
    info.steps = [step for step in info.steps if view.step in (None, step.index)]
    own, cross = trace.layers.of_kind("self"), trace.layers.of_kind("cross")
    of_places, of_words = len(own) * len(info.steps), len(cross) + 1
    total = 2 * of_places + of_words
    return {
        "trace": info.model_dump(),
        "picture": _picture(trace, view.image),
        "places": dict(_places(trace, view, lambda done: progress(done, total))),
        "shares": _shares(trace, view),
        "words": dict(_words(trace, view, lambda done: progress(of_places + done, total))),
        "segments": _segments(opened, view, lambda done, _: progress(of_places + of_words + done, total))
        if own
        else [],
    }


def _places(
    trace: Trace, view: View, progress: Callable[[int], None]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Block (or "all") -> the map of every place."""
    for block, grid, maps in places.every_place(trace, view, progress=progress):
        yield _name(block), _packed(maps, grid)


def _name(block: int | None) -> str:
    return "all" if block is None else str(block)


def _words(trace: Trace, view: View, progress: Callable[[int], None]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Block (or "all") -> the map of every word, then of start, end and padding."""
    spans = _spans(trace, view.image, view.branch)
    cross = trace.layers.of_kind("cross")
    if not cross or not spans:
        return
    choice: dict[str, Any] = {"steps": view.step, "branch": view.branch, "image": view.image}
    for done, block in enumerate((None, *(layer.block for layer in cross)), start=1):
        maps = np.stack([heat.array for heat in heat_maps(trace, spans, blocks=block, **choice)])
        size = places.coarse(maps.shape[1:])
        yield _name(block), _packed(adaptive_avg_pool2d(torch.from_numpy(maps), size), size)
        progress(done)


def _spans(trace: Trace, image: int, branch: str) -> list[TokenSpan]:
    """Tokens of each word, then of each role, in the page's own order."""
    of_roles = (
        TokenSpan(
            role, 0, 0, tuple(token.index for token in trace.tokens(image, branch) if token.role == role)
        )
        for role in ("start", "end", "padding")
    )
    return [*trace.words(image, branch), *(span for span in of_roles if span.tokens)]


def _shares(trace: Trace, view: View) -> dict[str, Any] | None:
    """What every place takes from each token, mean over all blocks."""
    shares = places.every_places_words(trace, view)
    if shares is None:
        return None
    grid, of_places = shares
    return _packed(of_places.reshape(len(of_places), 1, -1), grid)


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
                "labels": _deflated(np.asarray(labels).astype("<u2").tobytes()),
            }
        )
    return segmentations


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
    if (shown := trace.picture_of(image)) is None:
        return None
    picture = shown.convert("RGB")
    picture.thumbnail((PICTURE_PX, PICTURE_PX))
    body = io.BytesIO()
    picture.save(body, format="WEBP", quality=88)
    return "data:image/webp;base64," + base64.b64encode(body.getvalue()).decode()

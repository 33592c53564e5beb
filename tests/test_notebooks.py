"""What notebooks show of results."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from attnscope.heatmap.heat_map import heat_map
from attnscope.pictures.heat_colours import heat_colours
from attnscope.pictures.overlays import indexed_png
from attnscope.segmentation.segment import segment_trace
from attnscope.testing.made_traces import PROMPT, made_trace


def shown(result) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(result._repr_png_())))


def picture():
    return Image.fromarray(np.linspace(0, 255, 64 * 96 * 3).reshape(64, 96, 3).astype(np.uint8))


def test_a_trace_shows_what_it_holds():
    trace = made_trace()
    trace.run.pictures = [picture()]
    html = trace._repr_html_()
    for text in (PROMPT, "uncond, cond", "self: blocks 1 to 2", "data:image/png;base64,"):
        assert text in html


def test_a_prompt_is_text_not_markup():
    trace = made_trace()
    trace.run.prompts = ["<script>alert(1)</script>"]
    assert "<script>" not in trace._repr_html_()


def test_an_empty_trace_shows_itself_too():
    assert "none" in made_trace(steps=0)._repr_html_()


def test_a_heat_map_shows_its_overlay_or_itself():
    trace = made_trace()
    alone = heat_map(trace, "cat")
    drawn = shown(alone)
    assert drawn.shape == (4 * 85, 6 * 85, 3)
    np.testing.assert_array_equal(drawn[::85, ::85], heat_colours(alone.array / alone.array.max()))
    trace.run.pictures = [picture()]
    over = heat_map(trace, "cat")
    np.testing.assert_array_equal(shown(over), np.asarray(over.overlay()))


def test_a_segmentation_shows_its_overlay_or_its_labels():
    trace = made_trace()
    alone = segment_trace(trace, thresholds=0.05)
    np.testing.assert_array_equal(shown(alone), np.asarray(indexed_png(alone.labels)))
    over = segment_trace(trace, thresholds=0.05, picture=picture())
    np.testing.assert_array_equal(shown(over), np.asarray(over.overlay()))

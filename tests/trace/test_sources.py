"""The folder of a trace stands for the trace wherever one is asked, also the folder that `attnscope generate` wrote."""

import numpy as np
import pytest
from PIL import Image

import attnscope
from attnscope import places
from attnscope.errors import ParameterError, TraceFormatError
from attnscope.testing.made_traces import made_trace

VIEW = places.View(None, None, None, "cond", 0)
ASKED = {
    "heat_map": lambda trace: attnscope.heat_map(trace, "cat").array,
    "heat_maps": lambda trace: attnscope.heat_maps(trace)[0].array,
    "word_table": lambda trace: attnscope.word_table(trace)["share"].to_numpy(),
    "segment_trace": lambda trace: attnscope.segment_trace(trace, thresholds=0.3).labels,
    "box_map": lambda trace: places.box_map(trace, VIEW, places.Box(0, 0, 0.3, 0.3)),
    "block_maps": lambda trace: next(iter(places.block_maps(trace, VIEW, places.Box(0, 0, 0.3, 0.3))))[1],
    "word_map": lambda trace: places.word_map(trace, VIEW, [1]),
    "token_shares": lambda trace: places.token_shares(trace, VIEW, places.Box(0, 0, 0.3, 0.3)),
    "every_place": lambda trace: next(places.every_place(trace, VIEW)).maps.numpy(),
    "every_places_words": lambda trace: places.every_places_words(trace, VIEW)[1].numpy(),
}


@pytest.fixture
def trace():
    made = made_trace()
    made.run.pictures = [Image.new("RGB", (48, 32))]
    return made


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
def test_a_folder_answers_as_its_trace(trace, tmp_path, ask):
    folder = trace.save(tmp_path / "output" / "run.trace")
    expected = ask(trace)
    for source in (folder, str(folder), folder.parent, f"{folder}/../run.trace"):
        assert np.array_equal(ask(source), expected)


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
def test_what_is_no_trace_is_said(tmp_path, ask):
    with pytest.raises(TraceFormatError, match=r"nowhere: no such folder; expected a trace"):
        ask(str(tmp_path / "nowhere"))
    for other in (None, 5, [made_trace()], Image.new("RGB", (8, 8))):
        with pytest.raises(ParameterError, match=r"expected a trace, from `with capture.*got a"):
            ask(other)


def test_segment_takes_a_trace_by_its_folder(trace, tmp_path):
    folder = trace.save(tmp_path / "run.trace")
    found = attnscope.segment(folder, thresholds=0.3)
    assert np.array_equal(found.labels, attnscope.segment(trace, thresholds=0.3).labels)
    (tmp_path / "photos").mkdir()
    with pytest.raises(TraceFormatError, match="photos has no manifest.json: it is not a trace"):
        attnscope.segment(tmp_path / "photos")


def test_the_viewer_is_there_after_import(trace, tmp_path):
    from attnscope.viewer.export import export_page

    assert callable(attnscope.viewer.serve)
    folder = trace.save(tmp_path / "output" / "run.trace")
    assert export_page(folder.parent, tmp_path / "page.html").stat().st_size > 10_000


def test_a_heat_map_is_an_array_for_numpy_and_matplotlib(trace):
    import matplotlib.pyplot as plt

    heat = attnscope.heat_map(trace, "cat")
    assert np.asarray(heat).shape == (4, 6)
    assert np.asarray(heat).dtype == np.float32
    assert np.mean(heat) == pytest.approx(heat.array.mean())
    figure, axes = plt.subplots()
    drawn = axes.imshow(heat)
    assert np.array_equal(drawn.get_array(), heat.array)
    plt.close(figure)

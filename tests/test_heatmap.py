import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import map_coordinates

import attnscope
from attnscope.errors import MissingExtraError, OutputError, ParameterError, SelectionError, WordError
from attnscope.heatmap.result import HeatMap
from attnscope.records import Call, Grid, Layer, Row, Run
from attnscope.records.qkv import Record
from attnscope.storage.memory import MemoryRecords
from attnscope.testing.made_traces import made_trace
from attnscope.trace.contents import Pass
from attnscope.trace.trace import Trace


def bilinear(grid, size):
    """Half-pixel bilinear in float64, by scipy."""
    axes = [(np.arange(n) + 0.5) * g / n - 0.5 for n, g in zip(size, grid.shape, strict=True)]
    places = np.meshgrid(
        *[np.clip(axis, 0, g - 1) for axis, g in zip(axes, grid.shape, strict=True)], indexing="ij"
    )
    return map_coordinates(grid, places, order=1, mode="nearest")


def shares(trace, block, branch=1, image=0):
    """(step, head, query, token) in float64, materialised."""
    layer = trace.layer(block, "cross")
    steps = []
    for step in trace.steps:
        record = trace.records.get(step.index, layer.id)
        row = branch * trace.images + image
        scores = record.query[row].double() @ record.key[row].double().mT * record.scale
        steps.append(scores.softmax(-1).numpy())
    return np.stack(steps)


@pytest.mark.parametrize("word", ["red", "cat", "red cat", "<start>"])
@pytest.mark.parametrize("image", [0, 1])
def test_a_heat_map_equals_the_mean_of_materialised_probabilities(word, image):
    trace = made_trace(images=2, steps=3, grids=((4, 6), (2, 3), (1, 2)))
    tokens = list(trace.span(word).tokens)
    expected = np.mean(
        [
            bilinear(
                shares(trace, layer.block, image=image)[..., tokens].mean((0, 1, 3)).reshape(*layer.grid),
                (4, 6),
            )
            for layer in trace.layers
            if layer.kind == "cross"
        ],
        axis=0,
    )
    found = attnscope.heat_map(trace, word, image=image).array
    assert found.dtype == np.float32
    assert found.shape == (4, 6)
    assert np.abs(found - expected).max() < 1e-6


def test_daam_sums_steps_clamps_bicubic_and_leaves_out_the_coarsest_grid():
    trace = made_trace(steps=3, grids=((8, 8), (4, 4), (2, 2)))
    tokens = list(trace.span("cat").tokens)
    maps = []
    for block, side in ((1, 8), (2, 4)):
        for head in range(3):
            summed = torch.from_numpy(shares(trace, block)[:, head].sum(0).T[tokens]).reshape(
                1, -1, side, side
            )
            larger = torch.nn.functional.interpolate(summed, size=(8, 8), mode="bicubic").clamp(min=0)
            maps.append(larger[0].numpy())
    expected = np.mean(maps, axis=(0, 1))
    found = attnscope.heat_map(trace, "cat", preset="daam").array
    assert np.abs(found - expected).max() < 1e-6


def two_by_two():
    """One head, one step, two tokens; at (0, 0) the word gets 3/4, elsewhere 1/2."""
    records = MemoryRecords()
    layer = Layer(1, "cross", "p", "down", Grid(2, 2), 1, 1, 2)
    records.layers[layer.id] = layer
    query = torch.tensor([[[[1.0], [0.0], [0.0], [0.0]]]])
    key = torch.tensor([[[[0.0], [np.log(3.0)]]]], dtype=torch.float32)
    records.add_call(Call(0, 0, 1.0, (Row("cond", 0),)), {layer.id: Record(query, key, scale=1.0)})
    return Trace(Pass(records, Run()))


def test_a_two_by_two_case_by_hand():
    found = attnscope.heat_map(two_by_two(), 1).array
    np.testing.assert_allclose(found, [[0.75, 0.5], [0.5, 0.5]], atol=1e-7)


def test_the_unit_does_not_depend_on_the_number_of_steps():
    one, all_steps = made_trace(steps=1), made_trace(steps=4)
    ratio = attnscope.heat_map(all_steps, "red").array.mean() / attnscope.heat_map(one, "red").array.mean()
    assert 0.5 < ratio < 2
    total = sum(attnscope.heat_map(all_steps, token).array for token in range(5))
    np.testing.assert_allclose(total, 1, atol=1e-5)


def test_choices_of_steps_blocks_and_heads():
    trace = made_trace(steps=3, grids=((4, 6), (4, 6)))
    found = attnscope.heat_map(trace, "red", steps=[0, 2], blocks=2, heads=[1]).array
    expected = shares(trace, 2)[[0, 2]][:, 1, :, 1].mean(0).reshape(4, 6)
    assert np.abs(found - expected).max() < 1e-6
    single = attnscope.heat_map(trace, np.int64(1), steps=1, blocks=[2], heads=0, branch="uncond").array
    assert np.abs(single - shares(trace, 2, branch=0)[1, 0, :, 1].reshape(4, 6)).max() < 1e-6
    daam = attnscope.heat_map(trace, "red", preset="daam", steps=1, blocks=2, heads=0).array
    assert np.abs(daam - shares(trace, 2)[1, 0, :, 1].reshape(4, 6)).max() < 1e-6


def test_a_non_square_picture_is_not_transposed():
    array = np.zeros((2, 6), np.float32)
    array[0, 5] = 1
    heat = HeatMap(array, "corner", image_size_hw=(16, 48))
    assert heat.peak == (0, 5)
    assert heat.resized().shape == (16, 48)
    row, column = np.unravel_index(heat.resized().argmax(), (16, 48))
    assert row < 8
    assert column > 40
    overlay = heat.overlay(Image.new("RGB", (48, 16), "grey"))
    assert overlay.size == (48, 16)
    light = np.asarray(overlay).astype(int).sum(-1)
    assert light[:8, 40:].mean() > 2 * light[8:, :24].mean()


def test_masks_and_iou():
    array = np.array([[1.0, 0.5], [0.3, 0.0]], np.float32)
    heat = HeatMap(array, "x")
    assert heat.mask(0.4).tolist() == [[True, True], [False, False]]
    assert heat.iou(np.array([[True, False], [False, False]])) == 0.5
    assert heat.iou(heat) == 1.0
    assert HeatMap(np.eye(2, dtype=np.float32), "y").iou(np.eye(2, dtype=bool)[::-1]) == 0.0
    truth = np.zeros((64, 64), bool)
    truth[:32] = True
    assert heat.iou(truth) > 0.6
    with pytest.raises(ParameterError, match="threshold 1.5"):
        heat.mask(1.5)


def test_a_map_of_zeros_is_drawn_dark():
    heat = HeatMap(np.zeros((2, 2), np.float32), "nothing")
    assert np.asarray(heat.overlay(Image.new("RGB", (16, 16), "white"))).mean() < 160


def test_files(tmp_path):
    heat = HeatMap(np.eye(4, dtype=np.float32), "x", picture=Image.new("RGB", (32, 32)))
    with Image.open(heat.save(tmp_path / "x.png")) as picture:
        assert picture.size == (32, 32)
    assert np.array_equal(np.load(heat.save(tmp_path / "x.npy")), heat.array)
    with pytest.raises(ParameterError, match=r"expected \.png"):
        heat.save(tmp_path / "x.txt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.npy", "x.png"]
    with pytest.raises(ParameterError, match="has no picture"):
        HeatMap(np.eye(2, dtype=np.float32), "x").overlay()


def test_plot_draws_the_true_values():
    plt = pytest.importorskip("matplotlib.pyplot", reason="needs matplotlib")
    figure, axes = plt.subplots()
    HeatMap(np.eye(4, dtype=np.float32) * 0.02, "x").plot(ax=axes)
    assert axes.images[0].get_clim()[1] == pytest.approx(0.02)
    assert axes.get_title() == "x"
    plt.close(figure)


def test_plot_without_matplotlib_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(MissingExtraError, match=r'pip install "attnscope\[plot\]"'):
        HeatMap(np.eye(4, dtype=np.float32), "x").plot()


def test_what_can_not_be_mapped_is_said():
    trace = made_trace()
    with pytest.raises(WordError, match="no word 'dog'"):
        attnscope.heat_map(trace, "dog")
    with pytest.raises(SelectionError, match="no cross-attention"):
        attnscope.heat_map(made_trace(kinds=("self",)), "red")
    with pytest.raises(SelectionError, match="block 9"):
        attnscope.heat_map(trace, "red", blocks=9)
    with pytest.raises(ParameterError, match="preset 'dam'"):
        attnscope.heat_map(trace, "red", preset="dam")
    with pytest.raises(SelectionError, match="chooses nothing"):
        attnscope.heat_map(trace, "red", blocks=[])
    with pytest.raises(WordError, match="no word 'red' in the negative prompt"):
        attnscope.heat_map(trace, "red", branch="uncond")
    with pytest.raises(SelectionError, match="branch 'text'"):
        attnscope.heat_map(trace, "red", branch="text")


def test_a_heat_map_is_an_array_to_numpy_and_can_be_compared_and_shown():
    trace = made_trace()
    red, again, cat = (
        attnscope.heat_map(trace, "red"),
        attnscope.heat_map(trace, "red"),
        attnscope.heat_map(trace, "cat"),
    )
    assert np.asarray(red) is red.array or np.shares_memory(np.asarray(red), red.array)
    assert np.asarray(red, dtype=np.float64).dtype == np.float64
    assert not np.shares_memory(np.array(red, copy=True), red.array)
    assert red == again
    assert red != cat
    assert red != red.array.tolist()
    row, column = red.peak
    assert repr(red).startswith("<HeatMap 'red', 4x6, ")
    assert repr(red).endswith(f"largest at ({row}, {column})>")


def test_several_words_at_once_are_the_maps_of_each():
    trace = made_trace(images=2)
    together = attnscope.heat_maps(trace, ["red", "cat", 0], image=1, step=1)
    assert together == [attnscope.heat_map(trace, word, image=1, steps=1) for word in ("red", "cat", 0)]
    assert [one.word for one in attnscope.heat_maps(trace)] == ["red", "cat"]
    daam = attnscope.heat_maps(trace, ["cat", "red"], preset="daam", heads=2)
    assert daam[0] == attnscope.heat_map(trace, "cat", preset="daam", heads=2)


def test_an_existing_file_is_left_alone_unless_told(tmp_path):
    heat = HeatMap(np.eye(4, dtype=np.float32), "x")
    path = heat.save(tmp_path / "x.npy")
    with pytest.raises(OutputError, match="exists already"):
        heat.save(path)
    assert heat.save(path, overwrite=True) == path


def test_the_table_of_words_is_their_heat_maps_in_numbers():
    trace = made_trace()
    table = attnscope.word_table(trace)
    assert table["word"].tolist() == ["red", "cat"]
    assert table["tokens"].tolist() == [(1,), (2, 3)]
    for _, row in table.iterrows():
        heat = attnscope.heat_map(trace, row["word"])
        assert row["share"] == float(heat.array.mean())
        assert (row["peak"], (row["peak_row"], row["peak_column"])) == (float(heat.array.max()), heat.peak)
        assert row["area"] == heat.mask().mean()


def test_the_table_has_a_row_for_each_step_and_block_on_request():
    trace = made_trace()
    table = attnscope.word_table(trace, by=("block", "step"), steps=[1])
    assert list(zip(table["step"], table["block"], table["word"], strict=True)) == [
        (1, block, word) for block in (1, 2) for word in ("red", "cat")
    ]
    cat = table[(table["block"] == 2) & (table["word"] == "cat")].iloc[0]
    assert cat["peak"] == float(attnscope.heat_map(trace, "cat", blocks=2, steps=1).array.max())
    assert attnscope.word_table(trace, by="step")["share"].groupby(lambda at: at % 2).mean().tolist() == (
        pytest.approx(attnscope.word_table(trace)["share"].tolist(), rel=1e-6)
    )
    with pytest.raises(ParameterError, match="by is 'head'"):
        attnscope.word_table(trace, by="head")

import numpy as np
import pytest
import torch
from PIL import Image

import attnscope
from attnscope.errors import OutputError, ParameterError, SelectionError, WordError
from attnscope.records import Call, Grid, Layer, Row, Run
from attnscope.records.qkv import Record
from attnscope.storage.memory import MemoryRecords
from attnscope.testing.made_traces import TOKENS, made_trace
from attnscope.testing.tiny_models import tiny_unet
from attnscope.testing.transformers import tiny_flux
from attnscope.trace.contents import Pass
from attnscope.trace.trace import Trace


def shares(trace, layer, branch="cond", image=0):
    """(step, head, query, token) in float64, materialised."""
    steps = []
    for step in trace.steps:
        record = trace.records.get(step.index, layer.record_id)
        row = step.rows.index(Row(branch, image))
        scores = record.query[row].double() @ record.key[row].double().mT * record.scale
        steps.append(scores.softmax(-1).numpy())
    return np.stack(steps)


def ragged(counts=(3, 1, 7), grids=((4, 6), (2, 3), (1, 2))):
    """Layers with different numbers of heads, as those of SDXL."""
    generator = torch.Generator().manual_seed(0)
    records, rows = MemoryRecords(), (Row("cond", 0),)
    made = {}
    for block, (heads, grid) in enumerate(zip(counts, grids, strict=True), start=1):
        layer = Layer(block, "cross", f"blocks.{block}.attn2", "down", Grid(*grid), heads, 5, len(TOKENS))
        records.layers[layer.id] = layer
        query = torch.randn(1, heads, layer.grid.places, 5, generator=generator) * 2
        made[layer.id] = Record(query, torch.randn(1, heads, 5, 5, generator=generator), scale=0.4)
    records.add_call(Call(0, 0, 900.0, rows), made)
    return Trace(Pass(records, Run(prompts=["red cat"], tokens=[TOKENS], latent_size_hw=grids[0])))


@pytest.mark.parametrize("image", [0, 1])
def test_each_map_is_the_mean_over_steps_and_tokens_of_one_head(image):
    trace = made_trace(images=2, steps=3, grids=((4, 6), (2, 3)))
    grid = attnscope.head_grid(trace, "cat", image=image)
    assert [layer.block for layer in grid.layers] == [1, 2]
    assert grid.heads == ((0, 1, 2), (0, 1, 2))
    for layer, maps in zip(grid.layers, grid.maps, strict=True):
        expected = shares(trace, layer, image=image)[..., [2, 3]].mean((0, -1)).reshape(3, *layer.grid)
        assert np.abs(maps - expected).max() < 1e-6


def test_blocks_have_different_numbers_of_heads():
    trace = ragged()
    grid = attnscope.head_grid(trace, "red")
    assert [maps.shape for maps in grid.maps] == [(3, 4, 6), (1, 2, 3), (7, 1, 2)]
    for layer, maps in zip(grid.layers, grid.maps, strict=True):
        assert np.abs(maps - shares(trace, layer)[0, ..., 1].reshape(maps.shape)).max() < 1e-6
    assert grid.shares.shape == (3, 7)
    assert np.isnan(grid.shares).sum() == 4 + 6
    np.testing.assert_allclose(grid.shares[2], grid.maps[2].mean((1, 2)), atol=1e-7)
    assert repr(grid) == "<HeadGrid 'red', 3 layers, 1 to 7 heads each, mean over 1 steps>"
    assert grid.picture().width > 128 + 7 * 46


def test_choices_of_steps_blocks_heads_and_branches():
    trace = made_trace(steps=3, grids=((4, 6), (2, 3)))
    grid = attnscope.head_grid(trace, "cat", steps=[0, 2], block=2, heads=[2, 0], branch="uncond")
    (layer,) = grid.layers
    expected = shares(trace, layer, "uncond")[[0, 2]].mean(0)[[2, 0]][..., 1].reshape(2, 2, 3)
    assert np.abs(grid.maps[0] - expected).max() < 1e-6
    assert (grid.heads, grid.steps) == (((2, 0),), 2)
    assert attnscope.head_grid(trace, "cat", head=1).maps[0].shape == (1, 4, 6)
    with pytest.raises(SelectionError, match="head"):
        attnscope.head_grid(trace, "cat", heads=[3])
    with pytest.raises(WordError, match="dog"):
        attnscope.head_grid(trace, "dog")
    with pytest.raises(SelectionError, match="cross"):
        attnscope.head_grid(made_trace(kinds=("self",)), "cat")


def test_a_u_net_with_other_heads_in_each_stage():
    unet = tiny_unet(attention_head_dim=(2, 4, 8, 8))
    with torch.no_grad(), attnscope.capture(unet) as trace:
        unet(torch.randn(1, 4, 16, 16), 10, torch.randn(1, 5, 16))
    grid = attnscope.head_grid(trace, 1)
    counts = [len(heads) for heads in grid.heads]
    assert sorted(set(counts)) == [2, 4, 8]
    assert grid.picture().size[1] > 16 * 64


def test_a_joint_attention_gives_its_part_from_the_image_to_the_text(tmp_path):
    pipe = tiny_flux(tmp_path)
    pipe.set_progress_bar_config(disable=True)
    with attnscope.capture(pipe) as trace:
        pipe(
            "a red cat",
            num_inference_steps=1,
            height=32,
            width=48,
            generator=torch.Generator().manual_seed(0),
        )
    grid = attnscope.head_grid(trace, "cat")
    assert len(grid) == len(trace.layers)
    text = trace.span("cat").tokens
    for layer, maps in zip(grid.layers, grid.maps, strict=True):
        assert maps.shape == (layer.heads, 2, 3)
        shares = trace.probabilities(layer=layer.path, relation="image->text", step=0, branch="cond", image=0)
        np.testing.assert_allclose(maps.reshape(layer.heads, 6), shares[..., list(text)].mean(-1), atol=1e-6)


def test_colours_have_one_scale_or_one_for_each_row():
    grid = attnscope.head_grid(ragged(), "red")
    all_of_it, rows = (np.asarray(grid.picture(scale=scale)) for scale in ("all", "row"))
    assert all_of_it.shape == rows.shape
    assert (all_of_it != rows).any()
    assert rows[104:, 148:].sum(dtype=int) > all_of_it[104:, 148:].sum(dtype=int)
    assert (rows[104:, 148:] >= all_of_it[104:, 148:]).mean() > 0.9
    with pytest.raises(ParameterError, match="scale 'each': expected 'all'"):
        grid.picture(scale="each")


def test_a_page_is_written_whole_and_not_over_another(tmp_path):
    grid = attnscope.head_grid(ragged(), "red")
    file = grid.save(tmp_path / "heads.png")
    with Image.open(file) as page:
        assert page.size == grid.picture().size
    assert grid._repr_png_()[:4] == b"\x89PNG"
    with pytest.raises(OutputError, match="exists already"):
        grid.save(file)
    with pytest.raises(ParameterError, match=r"the numbers are in \.maps"):
        grid.save(tmp_path / "heads.npy")


@pytest.mark.parametrize("shape", [(16, 1), (1, 16), (2, 3)])
def test_a_page_of_any_shape_of_picture_can_be_read(shape):
    page = attnscope.head_grid(ragged((2,), (shape,)), "red").picture()
    assert 480 <= page.width < 1200
    assert page.height < 1200

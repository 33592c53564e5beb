import json

import numpy as np
import pytest
import torch
from PIL import Image

import attnscope
from attnscope.demo.architecture import untrained_pipeline
from attnscope.errors import ImageError, ModelError, OutputError, ParameterError, SelectionError
from attnscope.pictures.reading import load_picture
from attnscope.segmentation.click_evidence import chosen_attention, default_layers, prepared
from attnscope.testing.made_traces import made_trace


@pytest.fixture(scope="module")
def pipe():
    pipe = untrained_pipeline(seed=1)
    pipe.set_progress_bar_config(disable=True)
    pipe.unet.register_to_config(sample_size=16)
    return pipe


@pytest.fixture(scope="module")
def photo():
    """Bands and a disc on a picture that is wider than high."""
    y, x = np.mgrid[:60, :95]
    pixels = np.zeros((60, 95, 3), np.uint8)
    pixels[:30], pixels[30:] = (90, 150, 220), (70, 140, 60)
    pixels[(y - 30) ** 2 + (x - 30) ** 2 < 300] = (220, 60, 50)
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def clicked(pipe, photo):
    return attnscope.click(photo, [(30, 30)], pipe=pipe)


def parts(height, width, labels, between=0.02):
    """Attention of places to those of their own label, and a little to their neighbours."""
    y, x = (axis.flatten() for axis in np.mgrid[:height, :width])
    same = labels.flatten()[:, None] == labels.flatten()
    near = np.abs(y[:, None] - y) + np.abs(x[:, None] - x) <= 1
    weights = torch.from_numpy((same & near) + between * near + 1e-6)
    return weights / weights.sum(1, keepdim=True)


@pytest.fixture(scope="module")
def two_discs():
    """A picture of two discs on a ground, and attention that knows them on a grid of a quarter of its size."""
    y, x = np.mgrid[:48, :80]
    labels = ((y - 24) ** 2 + (x - 20) ** 2 < 150) + 2 * ((y - 24) ** 2 + (x - 60) ** 2 < 150)
    image = Image.fromarray(np.array([(30, 90, 40), (220, 60, 50), (220, 60, 50)], np.uint8)[labels])
    attention = parts(12, 20, labels[2::4, 2::4])
    return prepared(attention, (12, 20), image, {}, temperature=0.65), labels


def iou(mask, truth):
    return (mask & truth).sum() / (mask | truth).sum()


def test_a_click_takes_the_thing_under_it_and_no_twin(two_discs):
    clicks, labels = two_discs
    for (x, y), label in (((20, 24), 1), ((60, 24), 2)):
        assert iou(clicks.mask([(x, y)]).mask, labels == label) > 0.9


def test_two_clicks_take_two_things_and_a_minus_takes_one_away(two_discs):
    clicks, labels = two_discs
    both = clicks.mask([(20, 24)]).again(plus=[(60, 24)])
    assert iou(both.mask, labels > 0) > 0.9
    one = clicks.mask([(20, 24)], minus=[(60, 24)])
    assert not one.mask[24, 60]
    assert iou(one.mask, labels == 1) > 0.9


def test_the_mask_has_the_photos_size_and_the_clicked_pixels(clicked, photo):
    assert clicked.mask.shape == (60, 95)
    assert clicked.mask.dtype == bool
    assert clicked.mask[30, 30]
    assert 0 <= clicked.score <= 1
    assert clicked.maps.shape == (1, 60, 95)
    assert clicked.maps[0, 30, 30] == 0
    assert np.array_equal(np.asarray(clicked), clicked.mask)
    assert repr(clicked).startswith("<ClickMask ")
    assert clicked.clicks.origin["input_size"] == {"height": 128, "width": 192}
    assert clicked.clicks.origin["timestep"] == 100


def test_further_clicks_are_those_given_at_once_and_need_no_model(clicked, pipe, photo, monkeypatch):
    at_once = attnscope.click(photo, [(30, 30), (70, 10)], [(5, 55)], pipe)
    monkeypatch.setattr(type(pipe.unet), "forward", None)
    later = clicked.again(plus=[(70, 10)], minus=[(5, 55)])
    assert np.array_equal(later.mask, at_once.mask)
    assert later.mask[10, 70]
    assert not later.mask[55, 5]
    assert later.plus == ((30, 30), (70, 10))
    assert np.array_equal(later.clicks.mask([(30, 30)]).mask, clicked.mask)


def test_maps_of_clicks_are_computed_once(two_discs, monkeypatch):
    clicks, _ = two_discs
    clicks.mask([(33, 20)])
    monkeypatch.setattr("attnscope.segmentation.clicks.flood_fill", None)
    clicks.mask([(33, 20)])


def test_clicks_stay_what_they_are_when_the_mask_is_enlarged(two_discs):
    clicks, labels = two_discs
    small = prepared(
        parts(12, 20, labels[2::4, 2::4]), (12, 20), clicks.picture, {}, temperature=0.65, most_pixels=60
    )
    found = small.mask([(20, 24), (41, 3)], minus=[(26, 30), (5, 44)])
    assert found.mask[24, 20]
    assert found.mask[3, 41]
    assert not found.mask[30, 26]
    assert not found.mask[44, 5]


@pytest.mark.parametrize("size", [(48, 80), (24, 40), (6, 10), (1, 1)], ids=str)
def test_large_pictures_are_decided_smaller(two_discs, size):
    clicks, labels = two_discs
    attention = parts(12, 20, labels[2::4, 2::4])
    at_size = prepared(
        attention, (12, 20), clicks.picture, {}, temperature=0.65, most_pixels=size[0] * size[1]
    )
    found = at_size.mask([(20, 24)])
    assert found.maps.shape[1:] == size
    assert found.mask.shape == labels.shape
    assert size[0] < 24 or iou(found.mask, labels == 1) > 0.85


@pytest.mark.parametrize("corner", [(0, 0), (94, 0), (0, 59), (94.9, 59.9)])
def test_corners_can_be_clicked(clicked, corner):
    found = clicked.clicks.mask([corner])
    assert found.mask[min(int(corner[1]), 59), min(int(corner[0]), 94)]


@pytest.mark.parametrize("seed", range(25))
def test_any_picture_grid_and_clicks_give_a_mask_that_keeps_its_clicks(seed):
    random = np.random.default_rng(seed)
    height, width, rows, columns = (int(side) for side in random.integers(1, [30, 30, 7, 7]))
    attention = torch.from_numpy(random.random((rows * columns,) * 2))
    attention[attention < random.choice([0, 0.3, 0.9])] = 0
    attention.fill_diagonal_(0.5)
    image = Image.fromarray(random.integers(0, 255, (height, width, 3), dtype=np.uint8))
    clicks = prepared(attention, (rows, columns), image, {}, temperature=float(random.uniform(0.3, 1.5)))
    spots = random.permutation(height * width)[: int(random.integers(1, 6))]
    points = [(int(spot) % width, int(spot) // width) for spot in spots]
    plus, minus = points[:2], points[2:]
    found = clicks.mask(plus, minus)
    assert found.mask.shape == (height, width)
    assert np.isfinite(found.maps).all()
    assert np.isfinite(found.score)
    assert all(found.mask[y, x] for x, y in plus)
    assert not any(found.mask[y, x] for x, y in minus)
    assert found.overlay().size == (width, height)


@pytest.mark.parametrize(
    ("plus", "minus", "message"),
    [
        ([], [], "there is no plus click"),
        ([], [(1, 1)], "there is no plus click"),
        ([(95, 0)], [], "x from 0 to 94 and y from 0 to 59"),
        ([(3, -0.5)], [], "outside of the picture"),
        ([(float("nan"), 3)], [], "outside of the picture"),
        ([(3, 3)], [(0, 60)], "minus click .0, 60. is outside"),
        ([3, 3], [], "expected a list of .x, y."),
        ("34", [], "expected a list of .x, y."),
        ([(3, 3)], [(3, 3)], "is a plus and a minus click"),
    ],
)
def test_wrong_clicks_are_explained(clicked, plus, minus, message):
    with pytest.raises(ParameterError, match=message):
        clicked.clicks.mask(plus, minus)


def test_wrong_clicks_are_refused_before_the_model_runs(pipe, photo, monkeypatch):
    monkeypatch.setattr(type(pipe.unet), "forward", None)
    with pytest.raises(ParameterError, match="outside of the picture"):
        attnscope.click(photo, [(95, 0)], pipe=pipe)
    with pytest.raises(ParameterError, match="there is no plus click"):
        attnscope.click(photo, [], pipe=pipe)


def test_a_trace_is_clicked_on(pipe):
    with attnscope.capture(pipe) as trace:
        pipe("a red sun over grass", num_inference_steps=2, height=64, width=128)
    found = attnscope.click(trace, [(20, 20)])
    assert found.mask.shape == (64, 128)
    assert found.clicks.origin["steps"] == [0, 1]
    last = attnscope.click(trace, [(20, 20)], steps=1)
    assert last.clicks.origin["steps"] == [1]
    assert not torch.equal(last.clicks.chain, found.clicks.chain)
    with pytest.raises(ParameterError, match="timestep can't be chosen for a trace"):
        attnscope.click(trace, [(1, 1)], timestep=3)


def test_layers_are_those_of_the_authors_on_a_unet(pipe):
    with attnscope.capture(pipe) as trace:
        pipe("a", num_inference_steps=1, height=64, width=64)
    paths = [layer.path for layer in default_layers(trace)]
    assert paths == [f"up_blocks.3.attentions.{number}.transformer_blocks.0.attn1" for number in (0, 1)]
    attention, grid, used = chosen_attention(trace, None, None)
    assert used == paths
    assert grid == (8, 8)
    by_hand = [trace.probabilities(layer=path, step=0, branch="cond", image=0, mean="head") for path in paths]
    torch.testing.assert_close(attention / 2, (by_hand[0] + by_hand[1]) / 2)
    weighted, _, _ = chosen_attention(trace, [14, paths[1]], [3, 1])
    torch.testing.assert_close(weighted, 3 * by_hand[0] + by_hand[1])


@pytest.mark.parametrize(
    ("layers", "weights", "error", "message"),
    [
        (None, None, SelectionError, "no self-attention on the U-Net's way up"),
        ([1, 2], None, ParameterError, "several grids: block 1 4x6, block 2 2x3"),
        ([1], [0], ParameterError, "not all 0"),
        ([1], [1, 2], ParameterError, "expected 1 numbers"),
        ([], None, ParameterError, "layers is empty"),
        ([9], None, SelectionError, "block 9"),
        (["nowhere"], None, SelectionError, "nowhere"),
    ],
)
def test_layers_that_are_not_there_are_explained(layers, weights, error, message):
    trace = made_trace()
    for layer in trace.layers:  # a U-Net that was captured on its way down
        object.__setattr__(layer, "stage", "down")
    with pytest.raises(error, match=message):
        chosen_attention(trace, layers, weights)


def test_choices_of_traces_are_refused_for_a_photo(pipe, photo):
    with pytest.raises(ParameterError, match="steps can't be chosen for a photo"):
        attnscope.click(photo, [(1, 1)], pipe=pipe, steps=1)
    with pytest.raises(ModelError):
        attnscope.click(photo, [(1, 1)])
    with pytest.raises(ImageError, match="no such file"):
        attnscope.click("missing.png", [(1, 1)], pipe=pipe)


def test_saved_files_hold_mask_overlay_and_facts(clicked, tmp_path):
    paths = clicked.save(tmp_path / "photo.png")
    assert [path.name for path in paths] == ["photo.mask.png", "photo.overlay.png", "photo.json"]
    assert np.array_equal(np.asarray(load_picture(paths[0]))[..., 0] == 255, clicked.mask)
    facts = json.loads(paths[2].read_text())
    assert facts["plus"] == [[30, 30]]
    assert facts["area"] == clicked.mask.sum()
    with pytest.raises(OutputError):
        clicked.save(tmp_path / "photo.png")


def test_an_overlay_leaves_what_is_beside_the_thing(two_discs):
    clicks, _ = two_discs
    found = clicks.mask([(20, 24)])
    drawn, before = np.asarray(found.overlay()), np.asarray(clicks.picture)
    assert np.array_equal(drawn[:, 50:], before[:, 50:])
    assert not np.array_equal(drawn[18, 20], before[18, 20])
    with pytest.raises(ParameterError, match="opacity is 2"):
        found.overlay(opacity=2)


def test_further_clicks_keep_the_threshold(two_discs):
    clicks, _ = two_discs
    first = clicks.mask([(20, 24)], threshold=0.6)
    again = first.again(plus=[(60, 24)])
    assert again.threshold == again.to_dict()["threshold"] == 0.6
    assert np.array_equal(again.maps, clicks.mask([(20, 24), (60, 24)], threshold=0.6).maps)
    assert not np.array_equal(again.maps, clicks.mask([(20, 24), (60, 24)]).maps)


def test_a_trace_without_a_picture_is_clicked_on_one_that_is_given(pipe, photo):
    with attnscope.capture(pipe, kind="self") as trace:
        pipe("a", num_inference_steps=1, output_type="latent", height=64, width=96)
    with pytest.raises(ParameterError, match="give it with shown="):
        attnscope.click(trace, [(5, 5)])
    assert attnscope.click(trace, [(30, 30)], shown=photo).mask.shape == (60, 95)
    with pytest.raises(ParameterError, match="shown can't be chosen for a photo"):
        attnscope.click(photo, [(5, 5)], pipe=pipe, shown=photo)


def test_the_thing_by_itself_is_transparent_beside_it(clicked, photo):
    cut = np.asarray(clicked.cutout())
    assert cut.shape == (60, 95, 4)
    np.testing.assert_array_equal(cut[..., 3], 255 * clicked.mask)
    np.testing.assert_array_equal(cut[clicked.mask][:, :3], np.asarray(photo)[clicked.mask])
    assert not cut[~clicked.mask].any()


def test_what_is_kept_for_further_clicks_says_its_bytes(clicked):
    chain = clicked.clicks.chain.nbytes
    assert clicked.clicks.bytes > 6 * chain  # the chain, five powers, weights
    alone = attnscope.click(made_picture_trace(), [(5, 5)], layers=[1], further=False).clicks
    assert (
        alone.chain.nbytes
        < alone.bytes
        < 6 * alone.chain.nbytes + sum(band.weights.nbytes for band in alone.upsample.bands)
    )


def made_picture_trace():
    trace = made_trace(kinds=("self",))
    trace.run.pictures = [Image.new("RGB", (48, 32), "teal")]
    return trace


def test_preparing_tells_how_far_it_is_and_can_be_stopped():
    from attnscope.segmentation.click_evidence import clicks_on_trace

    told = []
    choice = {"layers": [1], "temperature": 0.65}
    clicks_on_trace(made_picture_trace(), progress=lambda *how_far: told.append(how_far), **choice)
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        clicks_on_trace(made_picture_trace(), progress=stop, **choice)

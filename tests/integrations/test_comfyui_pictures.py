"""The nodes for ComfyUI: places, segments and saved traces."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from comfy_cases import (
    Watch,
    captured,
    conds,
    heat_map,
    latent_of,
    pictures,
    trace_of,
)

from attnscope import load_trace
from attnscope.errors import ParameterError
from attnscope.pictures.maps import resize_maps
from integrations.comfyui import NODE_CLASS_MAPPINGS
from integrations.comfyui.save_node import next_folder


def test_place_is_the_row_of_self_attention(world):
    model, handle = captured(world, blocks="1")
    watch = Watch(model)
    world.sample(model, *conds(world), images=2, steps=1, cfg=1)
    layer = trace_of(handle, 2).layer(1, "self")
    height, width = layer.grid
    expected = (
        watch.probabilities(layer.path, 0, layer.heads).mean(1)[:, 1 * width + 2].reshape(2, height, width)
    )
    with torch.inference_mode():
        x, y = round(2.5 * 48 / width), round(1.5 * 32 / height)
        node = NODE_CLASS_MAPPINGS["AttnscopePlace"]()
        image, mask = node.draw(handle, latent_of(handle), pictures(2), x, y, block=1)
    assert image.shape == (2, 32, 48, 3)
    shares = resize_maps(expected.float(), (32, 48)) / expected.amax((1, 2))[:, None, None].float()
    torch.testing.assert_close(mask, shares.clamp(0, 1), rtol=0, atol=1e-4)
    with pytest.raises(ParameterError, match="x 48, y 0; expected pixels of the 48x32 picture"):
        node.draw(handle, latent_of(handle), pictures(2), 48, 0)


def test_segments_have_a_mask_each(world):
    model, handle = captured(world)
    world.sample(model, *conds(world), images=2)
    node = NODE_CLASS_MAPPINGS["AttnscopeSegments"]()
    with torch.inference_mode():
        image, masks, names = node.draw(
            handle, latent_of(handle), pictures(2), labels="red, cat", threshold=0.01, image_number=1
        )
    assert image.shape == (1, 32, 48, 3)
    assert torch.equal(masks.sum(0), torch.ones(32, 48))
    assert len(names.splitlines()) == len(masks)
    with pytest.raises(ParameterError, match="image_number is 2; the batch has 0 to 1"):
        node.draw(handle, latent_of(handle), pictures(2), image_number=2)


def test_saved_trace_is_the_same(world, output):
    model, handle = captured(world, branches="both")
    world.sample(model, *conds(world), images=2)
    node = NODE_CLASS_MAPPINGS["AttnscopeSaveTrace"]()
    with torch.inference_mode():
        (first,), (second,) = (
            node.save(handle, latent_of(handle), pictures(2), "runs/cat")["result"] for _ in range(2)
        )
    assert Path(first) == output / "runs" / "cat_00001.trace"
    assert Path(second).name == "cat_00002.trace"
    saved, kept = load_trace(first), trace_of(handle, 2)
    assert (saved.prompt(), saved.prompt(branch="uncond")) == ("red cat", "bad")
    assert saved.tokens() == kept.tokens()
    assert saved.picture_of(1).size == (48, 32)
    for layer in kept.layers:
        assert torch.equal(saved.probabilities(layer=layer), kept.probabilities(layer=layer))


@pytest.mark.parametrize("name", ["../run", "/etc/run", "a/../../b", "..\\b", "", "a//b", ".hidden", "C:run"])
def test_names_that_lead_out_of_the_output_folder_are_refused(tmp_path, name):
    with pytest.raises(ParameterError, match="expected a name such as attnscope/run"):
        next_folder(tmp_path, name)


def test_image_of_another_shape_is_refused(world):
    _, handle = captured(world)
    with pytest.raises(ParameterError, match="connect an IMAGE"):
        heat_map(handle, torch.zeros(4, 6), word="cat")

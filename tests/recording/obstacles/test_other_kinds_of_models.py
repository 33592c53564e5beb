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
        ModelError, match="OnnxRuntimeModel, not a torch.nn.Module: its attention runs in ONNX Runtime"
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
            ModelError, match="not a torch.nn.Module" if ask is attnscope.capture else "no U-Net"
        ):
            ask(pipe)
    with pytest.raises(ModelError, match=runtime):
        attnscope.capture(pipe)


def test_models_of_other_kinds_are_refused_by_the_name_of_their_class():
    from diffusers import PriorTransformer, StableAudioDiTModel

    sound = StableAudioDiTModel(
        sample_size=4, in_channels=2, num_layers=1, attention_head_dim=8, num_attention_heads=2,
        num_key_value_attention_heads=2, out_channels=2, cross_attention_dim=8, time_proj_dim=8,
        global_states_input_dim=8, cross_attention_input_dim=8,
    )  # fmt: skip
    prior = PriorTransformer(num_attention_heads=2, attention_head_dim=8, num_layers=1, embedding_dim=8)
    pipe = type("StableAudioPipeline", (), {"transformer": sound})()
    with pytest.raises(
        ModelError, match="StableAudioPipeline denoises with pipe.transformer, a StableAudioDiTModel"
    ):
        attnscope.capture(pipe)
    for model in (sound, prior):
        with pytest.raises(
            ModelError,
            match=f"a {type(model).__name__} is neither a U-Net, .*, nor a transformer that attnscope",
        ):
            attnscope.capture(model)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "demo",
            r"'demo' is a name, not a pipeline: load it first, `pipe = attnscope.load_pipeline\('demo'\)`",
        ),
        (type("P", (), {"unet": None})(), "P has no denoising model, pipe.unet is None: .* with its unet"),
        (
            type("P", (), {"transformer": None})(),
            "P has no denoising model, pipe.transformer is None: .* with its transformer",
        ),
        (None, "NoneType has no denoising model: expected .* Stable Diffusion 3 and Flux"),
        (nn.Module, "Module is a class: make a pipeline of it"),
    ],
)
def test_what_is_no_model_is_said(given, message):
    with pytest.raises(ModelError, match=message):
        attnscope.capture(given)

"""What keeps a transformer's attention from being seen is named with its own component, and the remedies work."""

import pytest
import torch
from torch import nn

import attnscope
from attnscope.errors import CaptureError, ModelError, UnobservedError
from obstacle_cases import follow
from transformer_cases import CASES

PIPELINES = ("StableDiffusion3Pipeline", "FluxPipeline", "PixArtAlphaPipeline")
MADE = {case.family: case.make for case in CASES if case.name in PIPELINES}
every_family = pytest.mark.parametrize("family", MADE)


class Opaque:
    """Shows neither Q nor K, and changes nothing."""

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, *_, **__):
        parts = (hidden_states, encoder_hidden_states)
        return hidden_states if encoder_hidden_states is None or attn.added_kv_proj_dim is None else parts


def short_run(pipe):
    return pipe(
        "a cat", num_inference_steps=1, height=64, width=64, output_type="latent",
        generator=torch.Generator().manual_seed(0), **PIXART.get(type(pipe).__name__, {}),
    )  # fmt: skip


PIXART = {"PixArtAlphaPipeline": {"use_resolution_binning": False, "clean_caption": False}}


def refusal(pipe, error=UnobservedError):
    with pytest.raises(error) as caught, attnscope.capture(pipe):
        short_run(pipe)
    assert "pipe.unet" not in str(caught.value)
    assert "U-Net" not in str(caught.value)
    return str(caught.value)


def assert_captured(pipe):
    with attnscope.capture(pipe) as trace:
        short_run(pipe)
    assert len(trace.layers) == 4


@every_family
def test_a_processor_that_shows_nothing_is_replaced_by_the_models_own(family, tmp_path):
    pipe = MADE[family](tmp_path)
    own = {path: type(processor) for path, processor in pipe.transformer.attn_processors.items()}
    pipe.transformer.set_attn_processor(Opaque())
    message = refusal(pipe)
    assert "its processor Opaque" in message
    follow(message, pipe=pipe)
    assert {path: type(each) for path, each in pipe.transformer.attn_processors.items()} == own
    assert not any(parameter.is_meta for parameter in pipe.transformer.parameters())
    assert torch.zeros(1).device.type == "cpu"
    assert_captured(pipe)


@every_family
def test_a_replaced_forward_is_put_back(family, tmp_path):
    pipe = MADE[family](tmp_path)
    for module in pipe.transformer.modules():
        if hasattr(module, "to_q"):
            module.forward = lambda hidden_states=None, *args, module=module, **kwargs: Opaque()(
                module, hidden_states, kwargs.get("encoder_hidden_states")
            )
    message = refusal(pipe)
    assert "its forward was replaced by" in message
    follow(message, pipe=pipe)
    assert_captured(pipe)


def test_a_backend_that_shows_nothing_is_changed_on_the_transformer(tmp_path):
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry as registry

    pipe, before, flex = MADE["flux"](tmp_path), registry._active_backend, registry._backends["flex"]
    try:
        registry._backends["flex"] = lambda query, key, value, **_: (
            value.mean(1, True).expand_as(query).contiguous()
        )
        pipe.transformer.set_attention_backend("flex")
        message = refusal(pipe)
        assert "attention backend 'flex'" in message
        follow(message, pipe=pipe)
        assert_captured(pipe)
    finally:
        registry._active_backend, registry._backends["flex"] = before, flex


def test_compiled_transformers_and_copies_are_refused_by_their_own_name(tmp_path):
    pipe = MADE["flux"](tmp_path)
    pipe.transformer.compile(backend="eager")
    with pytest.raises(CaptureError, match="the Flux transformer can't be watched") as caught:
        attnscope.capture(pipe)
    assert "unet" not in str(caught.value).lower()
    wrapped = nn.DataParallel(MADE["flux"](tmp_path / "another").transformer)
    wrapped.device_ids = [0, 1]
    with pytest.raises(CaptureError, match=r"pipe\.transformer runs as copies on 2 GPUs") as caught:
        attnscope.capture(wrapped)
    names = {"transformer": wrapped}
    follow(caught.value, **names)


def test_a_pipeline_without_its_transformer_is_told_so(tmp_path):
    pipe = MADE["flux"](tmp_path)
    pipe.transformer = None
    with pytest.raises(
        ModelError, match=r"pipe\.transformer is None: give a pipeline that was loaded with its transf"
    ):
        attnscope.capture(pipe)
    with pytest.raises(ModelError, match=r"pipe\.transformer is None"):
        attnscope.segment(torch.zeros(64, 64, 3).numpy(), pipe)


@every_family
def test_the_doctor_leaves_a_transformer_and_its_pipeline_as_they_were(family, tmp_path):
    pipe = MADE[family](tmp_path)
    attributes, timesteps = set(vars(pipe)), pipe.scheduler.timesteps.clone()
    config, state = dict(pipe.config), torch.random.get_rng_state()
    report = attnscope.doctor(pipe)
    assert all(layer.seen for layer in report.model.layers)
    assert len(report.model.layers) == 4
    assert (set(vars(pipe)), dict(pipe.config)) == (attributes, config)
    assert torch.equal(pipe.scheduler.timesteps, timesteps)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not any(
        module._forward_hooks or module._forward_pre_hooks for module in pipe.transformer.modules()
    )


@every_family
def test_the_doctor_tells_layers_that_a_capture_does_not_see(family, tmp_path):
    pipe = MADE[family](tmp_path)
    processors = dict(pipe.transformer.attn_processors)
    hidden = next(iter(processors))
    pipe.transformer.set_attn_processor({**processors, hidden: Opaque()})
    report = attnscope.doctor(pipe)
    unseen = [layer.path for layer in report.model.layers if not layer.seen]
    assert unseen == [hidden.removesuffix(".processor")]
    assert any("its processor Opaque" in obstacle.cause for obstacle in report.obstacles)


def test_the_doctor_says_what_a_transformer_alone_can_not_be_tried_with(tmp_path):
    report = attnscope.doctor(MADE["flux"](tmp_path).transformer)
    assert report.model.note == "a Flux transformer alone takes no tiny step; give its pipeline"
    assert {layer.seen for layer in report.model.layers} == {None}


def test_the_doctor_says_of_an_unknown_pipeline_what_a_capture_would_say(tmp_path):
    made = MADE["flux"](tmp_path)
    pipe = type("MyPipeline", (type(made),), {"__call__": _own_call})(**made.components)
    report = attnscope.doctor(pipe)
    with pytest.raises(CaptureError) as caught, attnscope.capture(pipe):
        short_run(pipe)
    assert "branches=" in str(caught.value)
    assert str(caught.value) in [each.cause for each in report.obstacles]


def _own_call(self, prompt, num_inference_steps=1, height=64, width=64, output_type="latent", generator=None):
    """Two rows whose meaning nobody knows."""
    text = torch.randn(2, 12, 32, generator=generator)
    rows, columns = torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij")
    self.transformer(
        hidden_states=torch.zeros(2, 16, 16), timestep=torch.ones(2), encoder_hidden_states=text,
        pooled_projections=torch.zeros(2, 16), txt_ids=torch.zeros(12, 3),
        img_ids=torch.stack([torch.zeros_like(rows), rows, columns], -1).reshape(-1, 3),
    )  # fmt: skip

"""Wrappers that say only `*args, **kwargs`, as people put before models' and pipelines' methods, hide no argument."""

import functools

import numpy as np
import pytest
import torch
from PIL import Image

import attnscope
from attnscope.errors import CaptureError
from attnscope.recording.calling.named_arguments import NamedArguments
from attnscope.testing.transformers import tiny_flux


def anything(original):
    """As DeepCache and many scripts write it: no name, no functools.wraps."""

    def wrapped(*args, **kwargs):
        return original(*args, **kwargs)

    return wrapped


def renamed(original):
    """Names of its own, in the same order."""

    def wrapped(x, t, *rest, context=None, **kwargs):
        kwargs |= {} if context is None else {"encoder_hidden_states": context}
        return original(x, t, *rest, **kwargs)

    return wrapped


def run(pipe, **settings):
    seed = torch.Generator().manual_seed(0)
    called = pipe("a cat", num_inference_steps=2, generator=seed, **settings)
    return np.asarray(called.images[0])


def captured(pipe, **kept):
    with attnscope.capture(pipe, **kept) as trace:
        image = run(pipe)
    return image, trace


def check_same(one, other):
    assert np.array_equal(one[0], other[0])
    assert one[1].words() == other[1].words()
    assert one[1].run.prompts == other[1].run.prompts
    assert one[1].branches == other[1].branches
    for layer, same in zip(one[1].layers, other[1].layers, strict=True):
        for row in one[1].calls[1].rows:
            choice = {"step": 1, "branch": row.branch, "image": row.image}
            assert torch.equal(
                one[1].probabilities(layer=layer, **choice), other[1].probabilities(layer=same, **choice)
            )


@pytest.mark.parametrize("wrapper", [anything, renamed])
def test_a_wrapped_forward_is_recorded_as_the_models_own(pipe, monkeypatch, wrapper):
    plain = captured(pipe)
    monkeypatch.setattr(pipe.unet, "forward", wrapper(pipe.unet.forward))
    check_same(captured(pipe), plain)


def test_a_class_whose_forward_takes_anything(pipe, monkeypatch):
    plain = captured(pipe)

    class Own(type(pipe.unet)):
        def forward(self, *args, **kwargs):
            return super().forward(*args, **kwargs)

    monkeypatch.setattr(pipe.unet, "__class__", Own)
    check_same(captured(pipe), plain)


def renamed_method(original):
    """A method of the class whose latent and timestep have other names."""

    def forward(model, x, t, encoder_hidden_states=None, **kwargs):
        return original(model, x, t, encoder_hidden_states, **kwargs)

    return forward


@pytest.mark.parametrize("wrapper", [anything, renamed_method])
def test_a_forward_replaced_for_all_models_of_a_class(pipe, monkeypatch, wrapper):
    plain = captured(pipe)
    monkeypatch.setattr(type(pipe.unet), "forward", wrapper(type(pipe.unet).forward))
    check_same(captured(pipe), plain)


def test_wrappers_stand_where_they_stood_after_a_run_that_raises(pipe, monkeypatch):
    owners = {pipe.unet: "forward", pipe: "encode_prompt", pipe.scheduler: "step", pipe.vae: "decode"}
    for owner, method in owners.items():
        monkeypatch.setattr(owner, method, anything(getattr(owner, method)), raising=False)
    before = {owner: dict(vars(owner)) for owner in owners}

    def stop(*_):
        raise KeyError("stopped")

    with pytest.raises(KeyError, match="stopped"), attnscope.capture(pipe, previews=1):
        run(pipe, callback_on_step_end=stop)
    for owner, method in owners.items():
        assert vars(owner)[method] is before[owner][method]
        assert vars(owner).keys() == before[owner].keys()


@pytest.mark.parametrize("method", ["encode_prompt", "prepare_latents"])
def test_wrapped_methods_of_a_pipeline(pipe, monkeypatch, method):
    plain = captured(pipe)
    monkeypatch.setattr(pipe, method, anything(getattr(pipe, method)), raising=False)
    check_same(captured(pipe), plain)


def test_a_wrapped_scheduler_and_vae(pipe, monkeypatch):
    plain = captured(pipe, previews=1)
    monkeypatch.setattr(pipe.scheduler, "step", anything(pipe.scheduler.step))
    monkeypatch.setattr(pipe.vae, "decode", anything(pipe.vae.decode))
    again = captured(pipe, previews=1)
    check_same(again, plain)


def test_a_wrapped_transformer(tmp_path, monkeypatch):
    pipe = tiny_flux(tmp_path)
    plain = captured(pipe)
    monkeypatch.setattr(pipe.transformer, "forward", anything(pipe.transformer.forward))
    check_same(captured(pipe), plain)


def twice(original):
    """As cache-dit does on top of `torch.no_grad()`."""
    return functools.wraps(original)(anything(functools.wraps(original)(anything(original))))


@pytest.mark.parametrize("wrapper", [anything, twice])
def test_a_call_replaced_for_all_pipelines_of_a_class(tmp_path, monkeypatch, wrapper):
    pipe = tiny_flux(tmp_path)
    plain = captured(pipe)
    monkeypatch.setattr(type(pipe), "__call__", wrapper(type(pipe).__call__))
    check_same(captured(pipe), plain)


def test_a_photo_is_shown_to_a_wrapped_model(pipe, tmp_path, monkeypatch):
    photo = Image.radial_gradient("L").convert("RGB").resize((128, 128))
    for one in (pipe, tiny_flux(tmp_path)):
        name = "unet" if hasattr(one, "unet") else "transformer"
        plain = attnscope.segment(photo, one, thresholds=0.5).aggregated
        model = getattr(one, name)
        with monkeypatch.context() as patch:
            patch.setattr(model, "forward", anything(model.forward))
            assert torch.equal(attnscope.segment(photo, one, thresholds=0.5).aggregated, plain)


def test_a_call_that_names_no_latent_is_refused_with_what_came(pipe, monkeypatch):
    forward = pipe.unet.forward
    monkeypatch.setattr(pipe.unet, "forward", lambda **k: forward(k["x"], k["t"], k["text"]))
    with pytest.raises(CaptureError, match="without `sample`.* it got x, t, text"):
        with attnscope.capture(pipe.unet, branches=("cond",)):
            pipe.unet(x=torch.zeros(1, 4, 16, 16), t=1, text=torch.zeros(1, 77, 32))


def test_names_are_those_of_the_nearest_definition_that_has_some():
    class Base:
        def call(self, one, two=2, *, three=3):
            pass

    class Derived(Base):
        def call(self, *args, **kwargs):
            pass

    owner = Derived()
    owner.call = lambda *a, **k: None
    named = NamedArguments(owner, "call")
    assert named.read((5,), {"four": 4}) == {"one": 5, "four": 4}
    assert named.read((5,), {}, defaults=True) == {"one": 5, "two": 2, "three": 3}
    assert named.changed((5, 6), {"three": 7}, "two", lambda old: old + 1) == ((5, 7), {"three": 7})
    assert named.changed((5, 6), {"three": 7}, "three", lambda old: old + 1) == ((5, 6), {"three": 8})
    Derived.call = functools.partial(lambda *args: None)  # no method, but something that can be called
    assert NamedArguments(Derived(), "call").read((5,), {}) == {"one": 5}
    owner.other = lambda *args: None
    assert NamedArguments(owner, "other", ("x", "y")).read((1, 2), {}) == {"x": 1, "y": 2}

"""diffusers' attention backends: PyTorch's own are seen, others are refused by name, with a remedy that works."""

import re

import numpy as np
import pytest

import attnscope
from attnscope.errors import CaptureError
from attnscope.testing.transformers import tiny_flux, tiny_flux2_klein, tiny_sd3
from transformer_cases import CASES
from watched_runs import watched

dispatch = pytest.importorskip(
    "diffusers.models.attention_dispatch", reason="diffusers before 0.35 has no backends"
)
FLUX = next(case for case in CASES if case.name == "FluxPipeline")
KLEIN = next(case for case in CASES if case.name == "Flux2KleinPipeline")
SD3 = next(case for case in CASES if case.name == "StableDiffusion3Pipeline")


@pytest.fixture(autouse=True)
def backend_of_all_models():
    """What is chosen for one model is chosen for all."""
    before = dispatch._AttentionBackendRegistry.get_active_backend()[0]
    yield
    dispatch._AttentionBackendRegistry.set_active_backend(before)


@pytest.fixture(params=[(FLUX, tiny_flux), (KLEIN, tiny_flux2_klein)], ids=["Flux", "Klein"])
def case_and_pipe(request, tmp_path):
    case, make = request.param
    return case, make(tmp_path)


@pytest.mark.parametrize("backend", ["native", "_native_math", "_native_flash"])
def test_pytorchs_own_backends_are_seen(case_and_pipe, backend):
    case, pipe = case_and_pipe
    pipe.transformer.set_attention_backend(backend)
    assert len(watched(pipe, lambda: case.run(pipe)).layers) == case.layers


@pytest.mark.filterwarnings("ignore:flex_attention called without")
@pytest.mark.parametrize("chosen", ["for the model", "for all"])
def test_a_backend_that_nothing_sees_is_refused_by_name_and_the_remedy_works(case_and_pipe, chosen):
    case, pipe = case_and_pipe
    expected = "backend 'flex': choose PyTorch's own, `pipe.transformer.set_attention_backend('native')`"
    if chosen == "for the model":
        pipe.transformer.set_attention_backend("flex")
    else:
        dispatch._AttentionBackendRegistry.set_active_backend(dispatch.AttentionBackendName.FLEX)
    plain = case.run(pipe)
    with pytest.raises(CaptureError, match="can't be observed") as refusal, attnscope.capture(pipe):
        case.run(pipe)
    assert expected in str(refusal.value)
    assert np.array_equal(case.run(pipe), plain)
    exec(str(refusal.value).split("`")[1])
    assert len(watched(pipe, lambda: case.run(pipe)).layers) == case.layers


class Bypassing:
    """A processor that calls a kernel of its own."""

    def __call__(
        self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, image_rotary_emb=None
    ):
        places = hidden_states.shape[1]
        if encoder_hidden_states is None:
            return sageattn(hidden_states)
        return sageattn(hidden_states), sageattn(encoder_hidden_states[:, :places])


def sageattn(states):
    return states


def test_another_processor_is_refused_and_the_remedy_works(tmp_path):
    pipe = tiny_flux(tmp_path)
    pipe.transformer.set_attn_processor(Bypassing())
    with (
        pytest.raises(CaptureError, match="in SageAttention, which shows neither") as refusal,
        attnscope.capture(pipe),
    ):
        FLUX.run(pipe)
    exec(str(refusal.value).split("`")[1])
    assert len(watched(pipe, lambda: FLUX.run(pipe)).layers) == FLUX.layers


def test_the_processors_that_a_model_is_made_with_are_code_for_every_family(tmp_path):
    pipe = tiny_sd3(tmp_path)
    pipe.transformer.set_attn_processor(Bypassing())
    with (
        pytest.raises(CaptureError, match="use PyTorch's, `import torch; ") as caught,
        attnscope.capture(pipe),
    ):
        SD3.run(pipe)
    exec(re.findall("`(.*?)`", str(caught.value))[-1], {"pipe": pipe})
    assert len(watched(pipe, lambda: SD3.run(pipe)).layers) == SD3.layers

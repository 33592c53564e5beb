"""capture(open_words=True): what is refused and when, and what becomes of projections that stop to hold."""

import re

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0

import attnscope
from attnscope.errors import CaptureError, ParameterError, SelectionError
from attnscope.recording.running.passes import IncompleteCaptureWarning
from attnscope.testing.transformers import tiny_transformer

RUN = {"num_inference_steps": 2, "output_type": "latent"}


def attn2(pipe):
    return next(module for name, module in pipe.unet.named_modules() if name.endswith("attn2"))


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        ({"kind": "self"}, "leave kind='self' out"),
        (
            {"qk": False, "keep": {"words": attnscope.Reduced("cross")}},
            re.escape("leave qk=False and steps=[] out"),
        ),
        (
            {"steps": [], "keep": {"words": attnscope.Reduced("cross")}},
            re.escape("leave qk=False and steps=[] out"),
        ),
    ],
)
def test_captures_that_keep_no_queries_of_words_are_refused(pipe, asked, match):
    with pytest.raises(ParameterError, match=match):
        attnscope.capture(pipe, open_words=True, **asked)


@pytest.mark.parametrize(
    ("family", "why"),
    [
        ("sd3", "SD3Transformer2DModel carries its text through the layers together with the image"),
        ("flux", "FluxTransformer2DModel carries its text through the layers together with the image"),
        ("pixart", "PixArtTransformer2DModel makes keys of a text in more steps than a trace keeps"),
        ("wan", "makes keys of a text in more steps than a trace keeps"),
    ],
)
def test_transformers_are_refused_before_the_run_with_what_works_instead(tmp_path, family, why):
    pytest.importorskip("transformer_cases")  # which says with which libraries there are tiny ones
    pipe = tiny_transformer(family, tmp_path)
    with pytest.raises(
        CaptureError, match=f"{why}.*: capture without open_words=True, and a run whose prompt has"
    ):
        attnscope.capture(pipe, open_words=True)
    attnscope.capture(pipe)


@pytest.mark.parametrize(
    ("name", "error", "why"),
    [
        ("IFPipeline", CaptureError, "attends to text and places in one softmax"),
        ("DDPMPipeline", ParameterError, "has no cross-attention in these blocks"),
        ("DreamLitePipeline", CaptureError, r"normalises its keys \(norm_k\)"),
    ],
)
@pytest.mark.filterwarnings("ignore")  # diffusers' own
def test_other_u_nets_are_refused_before_the_run(name, error, why):
    written_for_newer = {"reason": "cases are of newer versions of diffusers", "exc_type": ImportError}
    cases = pytest.importorskip("compatibility.cases", **written_for_newer)
    with pytest.raises(error, match=why):
        attnscope.capture(cases.CASES[name].build(), open_words=True)


def test_a_u_net_that_changes_its_text_is_refused(pipe):
    pipe.unet.register_to_config(encoder_hid_dim_type="text_proj")
    try:
        with pytest.raises(CaptureError, match="changes its text before the layers"):
            attnscope.capture(pipe, open_words=True)
    finally:
        pipe.unet.register_to_config(encoder_hid_dim_type=None)


class OtherKeys(AttnProcessor2_0):
    """Changes the text's states before they are projected."""

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, **kwargs):
        return super().__call__(attn, hidden_states, 2 * encoder_hidden_states, **kwargs)


def test_keys_that_are_not_to_k_of_the_text_stop_the_first_step(pipe):
    attn2(pipe).set_processor(OtherKeys())
    with (
        pytest.raises(CaptureError, match=r"its keys are not what its to_k makes .* processor OtherKeys"),
        attnscope.capture(pipe, open_words=True) as trace,
    ):
        pipe("a red cat", **RUN)
    assert not trace.calls
    attn2(pipe).set_processor(AttnProcessor2_0())
    with attnscope.capture(pipe, open_words=True):
        pipe("a red cat", **RUN)


def test_random_numbers_in_the_projection_are_refused_and_not_drawn(pipe):
    layer = attn2(pipe)
    plain = layer.to_k
    layer.to_k = torch.nn.Sequential(plain, torch.nn.Dropout(0.5))
    layer.to_k.train()
    try:
        with (
            pytest.raises(CaptureError, match=r"draws random numbers for its keys \(Dropout\).*\.eval\(\)"),
            attnscope.capture(pipe, kind="cross", open_words=True),
        ):
            pipe("a red cat", **RUN)
        layer.to_k.eval()
        with attnscope.capture(pipe, kind="cross", open_words=True) as trace:
            pipe("a red cat", **RUN)
        assert len(trace.records.projections) == 16
    finally:
        layer.to_k = plain


@pytest.mark.parametrize("where", ["memory", "folder"])
def test_weights_that_change_during_the_run_take_the_projections_back(pipe, tmp_path, where):
    weight = attn2(pipe).to_k.weight
    before = weight.detach().clone()

    def switch(pipeline, step, timestep, tensors):
        with torch.no_grad():
            weight.mul_(1.5)
        return tensors

    place = {"folder": tmp_path / "run.trace"} if where == "folder" else {}
    try:
        with (
            pytest.warns(IncompleteCaptureWarning, match="made its keys in another way in a later step"),
            attnscope.capture(pipe, kind="cross", open_words=True, **place) as trace,
        ):
            pipe("a red cat", callback_on_step_end=switch, **RUN)
    finally:
        with torch.no_grad():
            weight.copy_(before)
    if where == "folder":
        assert sorted(path.name for path in place["folder"].iterdir())[-1] == "manifest.json"
        trace = attnscope.load_trace(place["folder"])
    with pytest.raises(SelectionError, match="open_words=True"):
        attnscope.reread(trace, "star", pipe=pipe)
    assert attnscope.heat_map(trace, "cat").array.max() > 0


def test_a_killed_run_keeps_them(pipe, tmp_path):
    def stop(pipeline, step, timestep, tensors):
        if step:
            raise KeyboardInterrupt
        return tensors

    with (
        pytest.raises(KeyboardInterrupt),
        attnscope.capture(pipe, open_words=True, folder=tmp_path / "run.trace"),
    ):
        pipe("a red cat", callback_on_step_end=stop, **{**RUN, "num_inference_steps": 4})
    trace = attnscope.load_trace(tmp_path / "run.trace")
    assert len(trace.records.projections) == 16
    assert attnscope.heat_map(trace, "star", pipe=pipe, open_words=True).array.max() > 0


def test_they_come_once_however_many_steps_there_are(pipe):
    sizes = set()
    for steps in (1, 3):
        with attnscope.capture(pipe, kind="cross", open_words=True) as trace:
            pipe("a red cat", num_inference_steps=steps, output_type="latent")
        sizes.add(sum(projection.nbytes for projection in trace.records.projections.values()))
    assert sizes == {sum(m.to_k.weight.nbytes for n, m in pipe.unet.named_modules() if n.endswith("attn2"))}


def test_chosen_blocks_and_branches_alone(pipe):
    with attnscope.capture(pipe, blocks=[3, 7], branch="uncond", open_words=True) as trace:
        pipe("a red cat", **RUN)
    assert [layer.block for layer in trace.records.projections] == [3, 7]
    found = attnscope.heat_map(trace, "star", branch="uncond", pipe=pipe, open_words=True)
    assert found.array.max() > 0

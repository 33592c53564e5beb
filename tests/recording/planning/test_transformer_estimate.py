"""Transformers: the bytes that are told before a run are those that it takes, by calls that work on them."""

from __future__ import annotations

import pytest

import attnscope
from transformer_cases import CASES, HEIGHT, NEGATIVE, PROMPT, WIDTH, text_tokens

pytestmark = [
    pytest.mark.filterwarnings("ignore::attnscope.recording.running.passes.IncompleteCaptureWarning"),
    pytest.mark.filterwarnings("ignore:In CPU autocast:UserWarning"),
]
GUIDED = [case for case in CASES if case.guided]


def told(case, pipe, **options):
    tokens = text_tokens(case)
    frames = case.frames if case.frames > 1 else None
    size = (HEIGHT, WIDTH)
    return attnscope.estimate(pipe, steps=2, size=size, tokens=tokens, frames=frames, **options)


def check(policies, case, pipe, *, batch=1, **options):
    for policy in policies[:-1]:
        scope = {"pipe": pipe, "capture": attnscope.capture, "Reduced": attnscope.Reduced}
        with eval(policy.call, scope) as trace:
            prompts = [PROMPT] * batch  # a new list each time: Z-Image writes into it
            shown = "pil" if "previews" in policy.call else "latent"
            case.run(pipe, prompts, **options, output_type=shown)
        maps = [value for kept in trace.reduced.values() for value in kept.maps.values()]
        held = sum(tensor.numel() * tensor.element_size() for tensor in (*recorded(trace), *maps))
        held += sum(3 * each.width * each.height for of_step in trace.previews.values() for each in of_step)
        assert held == policy.run_bytes, policy.name


def recorded(trace):
    for step in trace.steps:
        for layer in trace.layers:
            for call in range(len(step.calls)):
                record = trace.record(block=layer.block, kind=layer.kind, step=step.index, call=call)
                yield from (value for name, value in record.tensors.items() if name != "mask")


@pytest.mark.thorough
@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("batch", [1, 2])
def test_every_policys_call_takes_the_bytes_that_it_says(case, batch, tmp_path):
    if batch > 1 and not case.several:
        pytest.skip(f"diffusers' {case.name} can't make several pictures of several prompts")
    pipe = case.make(tmp_path)
    policies = told(case, pipe, batch=batch, guidance=case.branches != (("cond",),))
    assert len(policies) >= 7
    check(policies, case, pipe, batch=batch)


@pytest.mark.parametrize("case", GUIDED, ids=str)
def test_a_second_call_for_guidance_is_counted(case, tmp_path):
    pipe = case.make(tmp_path)
    policies = told(case, pipe, guidance=True)
    assert policies[0].step_bytes == 2 * told(case, pipe, guidance=False)[0].step_bytes
    assert policies[1].call == "capture(pipe, branch='cond')"
    check(policies, case, pipe, negative_prompt=NEGATIVE, **case.guided)


def test_the_figures_of_large_models():
    assert attnscope.estimate("flux")[0].step_bytes == pytest.approx(3.2e9, rel=0.01)
    assert attnscope.estimate("sdxl", guidance=False)[0].step_bytes == pytest.approx(0.64e9, rel=0.01)
    assert (
        attnscope.estimate("flux", guidance=True)[0].step_bytes
        == 2 * attnscope.estimate("flux")[0].step_bytes
    )


def test_what_a_joint_softmax_needs_is_said():
    policies = {policy.call: policy for policy in attnscope.estimate("sd3")}
    cross = policies["capture(pipe, kind='cross')"]
    assert cross.name == "cross-attention (all of joint layers)"
    assert cross.step_bytes == policies["capture(pipe)"].step_bytes

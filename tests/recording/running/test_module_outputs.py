"""capture(outputs=...): what modules gave, beside Q and K, taken by plain forward hooks."""

import re
from contextlib import ExitStack

import pytest
import torch
from torch import nn

import attnscope
from attnscope.errors import CaptureError, ParameterError, SelectionError
from attnscope.recording.running.passes import IncompleteCaptureWarning
from attnscope.testing.transformers import tiny_transformer
from attnscope.trace.step_rows import PartialMeanWarning

ATTN = "mid_block.attentions.0.transformer_blocks.0.attn1"
RESNET = "mid_block.resnets.0"
DOWN = "down_blocks.0"  # gives a tuple
PATHS = [ATTN, RESNET, DOWN]
STEPS = 3


def run(pipe, seeded, steps=STEPS, prompt=("a cat", "a dog")):
    return pipe(list(prompt), num_inference_steps=steps, generator=seeded(), output_type="pt").images


def by_plain_hooks(pipe, seeded, paths):
    """What the same modules give by hooks of our own, a call after the other."""
    seen = {path: [] for path in paths}

    def noted(path):
        def hook(module, args, output):
            first = output if isinstance(output, torch.Tensor) else output[0]
            seen[path].append(first.clone())

        return hook

    with ExitStack() as leaving:
        for path in paths:
            handle = pipe.unet.get_submodule(path).register_forward_hook(noted(path))
            leaving.callback(handle.remove)
        run(pipe, seeded)
    return seen


def hooks_of(model):
    return [
        (path, len(module._forward_hooks), len(module._forward_pre_hooks), "forward" in vars(module))
        for path, module in model.named_modules()
    ]


@pytest.mark.parametrize("qk", [True, False])
@pytest.mark.parametrize("place", ["memory", "folder", "budget"])
def test_outputs_are_those_of_plain_hooks_and_the_picture_is_the_same(pipe, seeded, tmp_path, qk, place):
    expected, picture, before = (
        by_plain_hooks(pipe, seeded, PATHS),
        run(pipe, seeded),
        hooks_of(pipe.unet),
    )
    where = {"memory": {}, "folder": {"folder": tmp_path / "t"}, "budget": {"budget": "5MB"}}[place]
    with attnscope.capture(pipe, outputs=PATHS, qk=qk, **where) as trace:
        seen = run(pipe, seeded)
    assert torch.equal(seen, picture)
    assert hooks_of(pipe.unet) == before
    assert set(trace.outputs) == set(PATHS)
    assert bool(trace.layers) is qk
    for path in PATHS:
        for step in range(STEPS):
            whole = expected[path][step]
            rows = whole.reshape(2, 2, *whole.shape[1:])  # branch, image
            assert torch.equal(trace.output(path, step=step), rows)
            assert torch.equal(trace.output(path, step=step, branch="cond", image=1), rows[1, 1])
        mean = torch.stack(expected[path]).float().mean(0)[2:]  # the branch "cond"
        torch.testing.assert_close(trace.output(path, branch="cond", mean="step"), mean)


def test_steps_branch_and_type_are_those_that_were_chosen(pipe, seeded):
    expected = by_plain_hooks(pipe, seeded, [ATTN])[ATTN]
    choice = {"steps": [0, -1], "branch": "cond", "dtype": torch.float16, "where": "device"}
    with attnscope.capture(pipe, outputs=ATTN, qk=False, **choice) as trace:
        run(pipe, seeded)
    found = trace.output(ATTN)
    assert [step.index for step in trace.steps] == [0, 2]
    assert found.dtype == torch.float16
    wanted = torch.stack([expected[0][2:], expected[2][2:]])[:, None]  # step, branch, image
    assert torch.equal(found, wanted.half())


class _Writes(nn.Module):
    """Writes into what the module before it gave, as FreeU does."""

    def __init__(self, then):
        super().__init__()
        self.then = then

    def forward(self, hidden, *args, **kwargs):
        given = self.then(hidden, *args, **kwargs)
        hidden.mul_(0)
        return given


def test_an_output_that_the_model_writes_into_later_is_kept_as_it_was(pipe, seeded, monkeypatch):
    first = pipe.unet.mid_block.attentions[0]
    monkeypatch.setitem(pipe.unet.mid_block.attentions._modules, "0", _Writes(first))
    expected = by_plain_hooks(pipe, seeded, [RESNET])[RESNET]
    with attnscope.capture(pipe, outputs=[RESNET], qk=False) as trace:
        run(pipe, seeded)
    assert expected[0].any()
    assert torch.equal(trace.output(RESNET, step=0).flatten(0, 1), expected[0])


def test_a_path_that_no_model_has_is_refused_with_the_nearest(pipe):
    with pytest.raises(SelectionError, match=rf"has no such module; the nearest: .*{re.escape(ATTN)}"):
        attnscope.capture(pipe, outputs=[ATTN[:-1] + "9"])
    with pytest.raises(SelectionError, match="outputs '': UNet2DConditionModel has no such module"):
        attnscope.capture(pipe, outputs=[""])
    with pytest.raises(SelectionError, match="no such module"):
        attnscope.capture([pipe, pipe.unet], outputs=["conv_inn"])


@pytest.mark.parametrize(
    ("asked", "error", "match"),
    [
        ({"outputs": [3]}, ParameterError, "outputs hold 3; expected paths of modules"),
        ({"outputs": 3}, ParameterError, "outputs hold 3; expected paths of modules"),
        ({"qk": False}, ParameterError, "or whose output to keep, outputs="),
        ({"outputs": ["conv_in"], "steps": []}, ParameterError, "use qk=False to keep no Q and K"),
    ],
    ids=["number in list", "number", "nothing", "no steps"],
)
def test_choices_that_make_no_sense_are_refused(pipe, asked, error, match):
    with pytest.raises(error, match=match):
        attnscope.capture(pipe, **asked)


def test_models_may_be_given_as_a_list_and_one_may_lack_the_module(pipe, seeded, tmp_path):
    pytest.importorskip("diffusers", minversion="0.42", reason="transformers are tried with diffusers 0.42")
    other = tiny_transformer("sd3", tmp_path)
    path = next(path for path, _ in other.transformer.named_modules() if path.endswith("attn"))
    with attnscope.capture([pipe, other], outputs=[ATTN, path], qk=False) as trace:
        run(pipe, seeded)
        other("a cat", num_inference_steps=1, output_type="latent")
    of_unet, of_transformer = trace.passes
    assert of_unet.outputs == (ATTN,)
    assert of_transformer.outputs == (path,)
    assert of_transformer.output(path, step=0, branch="cond", image=0).ndim == 2  # its image tokens


class _Gives(nn.Module):
    """A module that runs beside the model's own, and gives something else."""

    def __init__(self, what):
        super().__init__()
        self.what = what

    def forward(self, hidden):
        return self.what(hidden)


GIVEN = {
    "none": (lambda hidden: None, "it gives None, which is neither a tensor"),
    "text": (lambda hidden: ["a"], "it gives a list, which is neither a tensor"),
    "whole numbers": (lambda hidden: hidden.long(), "numbers of type torch.int64"),
    "no row": (lambda hidden: hidden.mean(), r"shape \(\), whose first axis"),
    "other rows": (lambda hidden: hidden[:1], "whose first axis is not the 4 row"),
    "sparse": (lambda hidden: hidden.flatten(1).to_sparse(), "parse"),
}


@pytest.fixture
def beside(pipe, monkeypatch):
    """Put a module into the model, which is called and whose output is thrown away."""

    def put(module):
        conv = pipe.unet.conv_in
        pipe.unet.add_module("beside", module)
        monkeypatch.setattr(
            conv, "forward", lambda hidden: (pipe.unet.beside(hidden), type(conv).forward(conv, hidden))[1]
        )

    yield put
    pipe.unet._modules.pop("beside", None)


@pytest.mark.parametrize("given", GIVEN)
def test_what_is_no_tensor_of_the_batch_is_a_gap_with_its_cause(pipe, seeded, beside, given):
    what, why = GIVEN[given]
    beside(_Gives(what))
    picture = run(pipe, seeded)
    with (
        pytest.warns(IncompleteCaptureWarning, match=f"output of beside was not recorded.*0 to 2.*{why}"),
        attnscope.capture(pipe, outputs=["beside", ATTN], qk=False) as trace,
    ):
        seen = run(pipe, seeded)
    assert torch.equal(seen, picture)
    assert trace.outputs == (ATTN,)
    with pytest.raises(SelectionError, match=f"output 'beside': this trace has '{re.escape(ATTN)}'"):
        trace.output("beside")


def test_several_runs_in_one_call_are_a_gap(pipe, seeded, beside):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Identity()

        def forward(self, hidden):
            return self.inner(self.inner(hidden))

    beside(Twice())
    with (
        pytest.warns(IncompleteCaptureWarning, match=r"beside.inner was not .*it ran more than once"),
        attnscope.capture(pipe, outputs=["beside", "beside.inner"], qk=False) as trace,
    ):
        run(pipe, seeded)
    assert trace.outputs == ("beside",)


def test_a_module_that_never_runs_leaves_nothing_and_the_error_says_why(pipe, seeded, beside):
    beside(nn.ModuleList([nn.Identity()]).append(nn.Identity()))
    pipe.unet.beside.forward = lambda hidden: hidden
    with (
        pytest.raises(CaptureError, match=r"nothing was recorded: the output of beside.0 .*it did not run"),
        attnscope.capture(pipe, outputs=["beside.0"], qk=False),
    ):
        run(pipe, seeded)


def test_a_module_that_skips_a_step_is_left_out_of_a_mean_and_said(pipe, seeded, beside):
    calls = []

    class Sometimes(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Identity()

        def forward(self, hidden):
            calls.append(1)
            return self.inner(hidden) if len(calls) != 2 else hidden

    beside(Sometimes())
    with (
        pytest.warns(IncompleteCaptureWarning, match=r"step\(s\) 1, because it did not run"),
        attnscope.capture(pipe, outputs=["beside.inner"], qk=False) as trace,
    ):
        run(pipe, seeded)
    with pytest.raises(SelectionError, match=r"step 1 has no output of beside\.inner"):
        trace.output("beside.inner", step=1)
    with pytest.warns(PartialMeanWarning, match="mean over steps 0, 2: steps 1 lack the output"):
        mean = trace.output("beside.inner", mean="step")
    assert torch.equal(mean, trace.output("beside.inner", step=[0, 2]).mean(0))


def test_after_an_exception_the_steps_that_were_complete_are_there_and_no_hook(pipe, seeded):
    before = hooks_of(pipe.unet)

    def stop(pipe, step, timestep, given):
        if step == 1:
            raise KeyboardInterrupt
        return given

    with (
        pytest.raises(KeyboardInterrupt),
        attnscope.capture(pipe, outputs=[ATTN]) as trace,
    ):
        pipe("a cat", num_inference_steps=4, output_type="latent", callback_on_step_end=stop)
    assert hooks_of(pipe.unet) == before
    assert trace.output(ATTN).shape[0] == 2


def test_a_graph_goes_through_outputs(pipe):
    latent = torch.randn(1, 4, 8, 8, requires_grad=True)
    text = torch.randn(1, 7, pipe.unet.config.cross_attention_dim)
    with attnscope.capture(pipe.unet, outputs=[ATTN], branches=["cond"], grad=True) as trace:
        pipe.unet(latent, 10, text)
    trace.output(ATTN, step=0, branch="cond", image=0).square().sum().backward()
    assert latent.grad.any()


@pytest.mark.parametrize(
    ("choice", "error", "match"),
    [
        ({"step": 7}, SelectionError, "step 7: this run has 0 to 2"),
        ({"branch": "con"}, SelectionError, "branch 'con': this run has 'uncond', 'cond'|'cond'"),
        ({"image": 2}, SelectionError, "image 2"),
        ({"call": 1, "step": 0}, SelectionError, "call 1: step 0 has calls 0 to 0"),
        ({"mean": "head"}, ParameterError, r"mean over \['head'\]"),
    ],
    ids=["step", "branch", "image", "call", "mean"],
)
def test_questions_that_have_no_answer_say_what_there_is(pipe, seeded, choice, error, match):
    with attnscope.capture(pipe, outputs=[RESNET], qk=False) as trace:
        run(pipe, seeded)
    with pytest.raises(error, match=match):
        trace.output(RESNET, **choice)


def test_a_trace_without_outputs_says_how_to_get_some(pipe, seeded):
    with attnscope.capture(pipe, blocks=[1]) as trace:
        run(pipe, seeded, steps=1)
    assert trace.outputs == ()
    with pytest.raises(SelectionError, match=r"this trace has none; capture\(outputs=\[...\]\) keeps them"):
        trace.output(ATTN)


def test_a_trace_of_outputs_alone_says_that_it_has_no_attention(pipe, seeded):
    with attnscope.capture(pipe, outputs=[RESNET], qk=False) as trace:
        run(pipe, seeded, steps=1)
    assert trace.prompt() == "a cat"
    assert trace.facts()["outputs"] == [RESNET]
    assert "1 output>" in repr(trace)
    with pytest.raises(SelectionError, match="no Q and K, only outputs of modules: capture without qk=False"):
        trace.layers_of_kind("self")


def test_outputs_count_where_a_budget_counts(pipe, seeded):
    paths = [path for path, _ in pipe.unet.named_modules() if path][:40]
    with (
        pytest.raises(CaptureError, match="more than the budget"),
        attnscope.capture(pipe, outputs=paths, qk=False, budget=200_000),
    ):
        run(pipe, seeded)

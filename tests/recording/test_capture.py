"""Capture changes nothing, takes what was chosen, and leaves nothing behind."""

import warnings

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0, SlicedAttnProcessor

import attnscope
from attnscope.errors import (
    CaptureError,
    ModelError,
    OutputError,
    ParameterError,
    SelectionError,
)
from attnscope.recording.running.passes import IncompleteCaptureWarning
from attnscope.testing.tiny_models import tiny_unet
from capture_cases import leftovers, run, use

SIZES = [(128, 128), (64, 192), (192, 128)]


@pytest.mark.parametrize("guidance", [7.5, 1.0])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "processor",
    [AttnProcessor2_0(), AttnProcessor(), SlicedAttnProcessor(3), "fused"],
    ids=lambda p: str(type(p).__name__),
)
def test_the_picture_is_bit_for_bit_the_same(pipe, seeded, processor, size, guidance):
    use(pipe, processor)
    try:
        options = {"height": size[0], "width": size[1], "guidance_scale": guidance}
        for output_type in ("pt", "latent"):
            plain = run(pipe, seeded, output_type=output_type, **options)
            with attnscope.capture(pipe) as trace:
                captured = run(pipe, seeded, output_type=output_type, **options)
            assert torch.equal(plain, captured)
            assert leftovers(pipe) == []
        assert len(trace.layers) == 32
        assert len(trace.steps) == 2
        assert trace.layers[0].grid == attnscope.records.Grid(size[0] // 8, size[1] // 8)
        assert trace.branches == (("uncond", "cond") if guidance > 1 else ("cond",))
    finally:
        if processor == "fused":
            pipe.unfuse_qkv_projections(vae=False)


def test_choices_of_blocks_kind_steps_branch_and_type(pipe, seeded):
    with attnscope.capture(
        pipe, blocks=[3, 16], kind="cross", steps=[0, -1], branch="cond", dtype=torch.float16
    ) as trace:
        run(pipe, seeded, num_inference_steps=4)
    assert [(layer.block, layer.kind) for layer in trace.layers] == [(3, "cross"), (16, "cross")]
    assert [step.index for step in trace.steps] == [0, 3]
    assert trace.branches == ("cond",)
    assert trace.record(block=3, kind="cross").query.shape[0] == 1
    assert trace.record(block=3, kind="cross").query.dtype == torch.float16


def test_several_rows_of_a_bare_unet_are_asked_for():
    unet = tiny_unet()
    sample, text = torch.randn(4, 4, 16, 16), torch.randn(4, 9, 16)
    with attnscope.capture(unet) as trace, torch.no_grad():
        unet(sample[:1], 3, encoder_hidden_states=text[:1])
        unet(sample[:1], 1, encoder_hidden_states=text[:1])
    assert (trace.branches, trace.images, [step.timestep for step in trace.steps]) == (
        ("cond",),
        1,
        [3.0, 1.0],
    )
    message = (
        r"called by hand with a batch of 4 row.*\('uncond', 'cond'\), or branches=\('cond',\) if they are 4"
    )
    with pytest.raises(CaptureError, match=message), attnscope.capture(unet), torch.no_grad():
        unet(sample, 3, encoder_hidden_states=text)
    with attnscope.capture(unet, branches=("cond",)) as trace, torch.no_grad():
        unet(sample, 3, encoder_hidden_states=text)
    assert (trace.branches, trace.images) == (("cond",), 4)
    with attnscope.capture(unet, branches=("uncond", "cond")) as trace, torch.no_grad():
        unet(sample, 3, encoder_hidden_states=text)
    assert [(row.branch, row.image) for row in trace.rows] == [
        ("uncond", 0),
        ("uncond", 1),
        ("cond", 0),
        ("cond", 1),
    ]
    with pytest.raises(CaptureError, match="4 rows, which can't be divided into 3 branches"):
        with attnscope.capture(unet, branches=("a", "b", "c")), torch.no_grad():
            unet(sample, 3, encoder_hidden_states=text)


def test_an_exception_leaves_no_hook_and_keeps_whole_steps(pipe, seeded):
    def stop(pipeline, index, timestep, kwargs):
        if index == 1:
            raise RuntimeError("stop here")
        return kwargs

    with pytest.raises(RuntimeError, match="stop here"), attnscope.capture(pipe) as trace:
        run(pipe, seeded, num_inference_steps=4, callback_on_step_end=stop)
    assert leftovers(pipe) == []
    assert len(trace.steps) == 2
    assert trace.run.planned_steps == 4
    assert trace.probabilities(block=16, kind="self", step=1, query=0).shape[-1] == 256


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupt_inside_an_attention_layer_leaves_the_pipeline_clean(pipe, seeded, error):
    module = pipe.unet.get_submodule("mid_block.attentions.0.transformer_blocks.0.attn1.to_v")
    calls = []

    def interrupt(*_):
        calls.append(1)
        if len(calls) == 2:
            raise error("now")

    handle = module.register_forward_pre_hook(interrupt)
    with pytest.raises(error), attnscope.capture(pipe) as trace:
        run(pipe, seeded, num_inference_steps=3)
    handle.remove()
    assert leftovers(pipe) == []
    assert [step.index for step in trace.steps] == [0]
    with attnscope.capture(pipe) as again:
        run(pipe, seeded)
    assert len(again.steps) == 2


def test_a_capture_inside_itself_is_refused_and_the_outer_one_goes_on(pipe, seeded):
    with attnscope.capture(pipe) as trace:
        with pytest.raises(CaptureError, match="being captured already"):
            attnscope.capture(pipe).__enter__()
        run(pipe, seeded)
    assert len(trace.steps) == 2
    assert leftovers(pipe) == []


def test_captures_one_after_the_other_are_independent(pipe, seeded):
    traces = []
    for prompt in ("a red cat", "the star"):
        with attnscope.capture(pipe, kind="cross") as trace:
            run(pipe, seeded, prompt=prompt)
        traces.append(trace)
    assert [trace.prompt() for trace in traces] == ["a red cat", "the star"]
    assert all(len(trace.steps) == 2 for trace in traces)


def test_layers_that_did_not_run_are_named(pipe, seeded):
    block = pipe.unet.get_submodule("mid_block.attentions.0.transformer_blocks.0")
    original = block.forward
    block.forward = lambda hidden_states, *args, **kwargs: hidden_states
    try:
        with pytest.warns(
            IncompleteCaptureWarning, match=r"block 7 self in steps 0 to 1; block 7 cross in steps"
        ):
            with attnscope.capture(pipe) as trace:
                run(pipe, seeded)
    finally:
        block.forward = original
    with pytest.raises(SelectionError, match="block 7 self: this trace has self blocks 1, 2"):
        trace.probabilities(block=7, kind="self")


def test_a_run_that_never_came_is_said(pipe, seeded):
    with pytest.raises(CaptureError, match="did not run inside the capture"), attnscope.capture(pipe):
        pass
    with pytest.raises(SelectionError, match="step 9: this run has 0 to 1"), attnscope.capture(pipe, steps=9):
        run(pipe, seeded)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"blocks": 17}, SelectionError, "block 17: this run has 1 to 16"),
        ({"blocks": 0}, SelectionError, "block 0"),
        ({"where": torch.device("cpu")}, ParameterError, "expected 'cpu', 'device'"),
        ({"where": "cuda"}, ParameterError, "expected 'cpu', 'device'"),
        ({"where": "cuda:0"}, ParameterError, "where 'cuda:0': expected 'cpu', 'device'"),
        ({"where": "cpu:0"}, ParameterError, "expected 'cpu', 'device'"),
        ({"kind": "both"}, SelectionError, "kind 'both': expected 'self' or 'cross'"),
    ],
)
def test_choices_that_the_model_lacks(pipe, options, error, message):
    with pytest.raises(error, match=message):
        attnscope.capture(pipe, **options)


def test_an_unknown_branch_is_refused_at_the_first_step(pipe, seeded):
    with pytest.raises(SelectionError, match="branch 'conditional': this run has"):
        with attnscope.capture(pipe, branch="conditional"):
            run(pipe, seeded)
    assert leftovers(pipe) == []


def test_negative_steps_of_a_bare_unet_are_refused():
    unet = tiny_unet()
    with pytest.raises(ParameterError, match="count from 0"), attnscope.capture(unet, steps=[-1]):
        unet(torch.randn(1, 4, 16, 16), 3, encoder_hidden_states=torch.randn(1, 9, 16))


def test_models_without_a_unet_are_refused():
    class FluxPipeline:
        transformer = None

    with pytest.raises(ModelError, match="FluxPipeline has no denoising model, pipe.transformer is None"):
        attnscope.capture(FluxPipeline())
    with pytest.raises(ModelError, match="Linear has no attention layer"):
        attnscope.capture(torch.nn.Linear(2, 2))


def test_a_compiled_unet_is_refused(pipe):
    compiled = torch.compile(tiny_unet(), backend="eager")
    in_part = tiny_unet()
    in_part.mid_block.compile(backend="eager")
    with pytest.raises(CaptureError, match="a part of it is compiled"):
        attnscope.capture(in_part)
    with pytest.raises(CaptureError, match="compiled"):
        attnscope.capture(compiled)


def test_a_folder_takes_each_step_as_it_comes(pipe, seeded, tmp_path):
    folder = tmp_path / "run.trace"
    seen = []

    def look(pipeline, index, timestep, kwargs):
        seen.append(len(attnscope.load_trace(folder).steps))
        return kwargs

    with attnscope.capture(pipe, where=folder) as trace:
        run(pipe, seeded, num_inference_steps=3, callback_on_step_end=look, output_type="pil")
    assert seen == [1, 2, 3]
    again = attnscope.load_trace(folder)
    assert again.picture.tobytes() == trace.picture.tobytes()
    assert torch.equal(again.probabilities(block=2, kind="self"), trace.probabilities(block=2, kind="self"))
    with pytest.raises(OutputError, match="exists already"), attnscope.capture(pipe, where=folder):
        pass
    assert leftovers(pipe) == []


def test_meta_tensors_yield_every_shape_at_no_cost():
    with torch.device("meta"):
        unet = tiny_unet()
        with attnscope.capture(unet, branches=("uncond", "cond")) as trace, torch.no_grad():
            unet(torch.empty(2, 4, 16, 24), 3, encoder_hidden_states=torch.empty(2, 77, 16))
    assert [layer.probability for layer in trace.layers[:2]] == [(16, 384, 384), (16, 384, 77)]


def test_steps_that_never_came_are_named(pipe, seeded):
    def interrupt(pipeline, index, timestep, kwargs):
        pipeline._interrupt = True
        return kwargs

    with pytest.warns(IncompleteCaptureWarning, match=r"steps 1 to 2 never came: the run ended after 1 step"):
        with attnscope.capture(pipe, kind="cross"):
            run(pipe, seeded, num_inference_steps=3, callback_on_step_end=interrupt)
    unet = tiny_unet()
    with pytest.warns(IncompleteCaptureWarning, match="steps 99 never came"):
        with attnscope.capture(unet, steps=[0, 99]), torch.no_grad():
            unet(torch.randn(1, 4, 16, 16), 3, encoder_hidden_states=torch.randn(1, 9, 16))


def test_no_warning_comes_from_a_capture(pipe, seeded):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with attnscope.capture(pipe):
            run(pipe, seeded)

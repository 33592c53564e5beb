"""Capture sees what the model computed, changes nothing, and leaves nothing behind."""

import types
import warnings

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0, SlicedAttnProcessor

import attnscope
from attnscope.atlas import DEMO_FOLDER
from attnscope.capturing import IncompleteCaptureWarning
from attnscope.errors import (
    CaptureError,
    ModelError,
    OutputError,
    ParameterError,
    SelectionError,
    UnobservedError,
)
from attnscope.keeping import LargeCaptureWarning
from attnscope.pipeline_watch import _model_and_revision
from attnscope.tap import is_attention
from tiny_model import tiny_unet

PROMPT = "a red cat and the star"
SIZES = [(128, 128), (64, 192), (192, 128)]


class Opaque:
    """A processor of one's own that uses neither of the two calls that can be seen."""

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, **kwargs):
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context)
        return attn.to_out[0]((q @ k.mT).softmax(-1) @ v)


def use(pipe, processor):
    if processor == "fused":
        pipe.fuse_qkv_projections(vae=False)
    else:
        pipe.unet.set_attn_processor(processor)


def run(pipe, seeded, prompt=PROMPT, **options):
    options = {"num_inference_steps": 2, "output_type": "pt", "generator": seeded(), **options}
    return pipe(prompt, **options).images


def leftovers(pipe):
    """Everything that a capture may put on a pipeline."""
    modules = list(pipe.unet.modules())
    hooks = [
        h
        for m in modules
        for h in (*m._forward_hooks, *m._forward_pre_hooks, *m._forward_hooks_always_called)
    ]
    watchers = [m for m in modules if "get_attention_scores" in vars(m)]
    watchers += [n for n in ("encode_prompt", "prepare_latents") if n in vars(pipe)]
    watchers += [n for n in ("postprocess",) if n in vars(pipe.image_processor)]
    return hooks + watchers + ["mode"] * torch._C._len_torch_function_stack()


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


class Oracle:
    """diffusers' own get_attention_scores on the input of every attention layer, computed beside."""

    def __init__(self, unet):
        self.scores = {}
        self.handles = [
            module.register_forward_hook(self._after(path), with_kwargs=True)
            for path, module in unet.named_modules()
            if is_attention(module)
        ]

    def _after(self, path):
        def compute(module, args, kwargs, output):
            hidden = args[0] if args else kwargs["hidden_states"]
            context = kwargs.get("encoder_hidden_states")
            query, key = module.to_q(hidden), module.to_k(hidden if context is None else context)
            heads = [module.head_to_batch_dim(tensor).double() for tensor in (query, key)]
            upcast, module.upcast_attention = (
                module.upcast_attention,
                False,
            )  # it would make float32 of float64
            self.scores[path] = type(module).get_attention_scores(module, *heads).float()
            module.upcast_attention = upcast

        return compute

    def remove(self):
        for handle in self.handles:
            handle.remove()


@pytest.mark.parametrize(
    "processor", [AttnProcessor2_0(), AttnProcessor(), SlicedAttnProcessor(3)], ids=lambda p: type(p).__name__
)
def test_probabilities_equal_diffusers_own_on_every_layer(pipe, seeded, processor):
    use(pipe, processor)
    oracle = Oracle(pipe.unet)
    with attnscope.capture(pipe) as trace:
        run(pipe, seeded, num_inference_steps=1)
    oracle.remove()
    for layer in trace.layers:
        found = trace.probabilities(block=layer.block, kind=layer.kind)
        expected = oracle.scores[layer.path]
        assert found.reshape(-1, *found.shape[-2:]).shape == expected.shape == layer.probability
        torch.testing.assert_close(found.reshape(expected.shape), expected, atol=1e-6, rtol=0)
        assert expected.amax(-1).mean() > 3 / layer.keys, "the test's attention is too even to tell anything"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_exact_within_its_rounding(dtype):
    unet = tiny_unet(upcast_attention=True).to(dtype)
    oracle = Oracle(unet)
    with attnscope.capture(unet) as trace, torch.no_grad():
        unet(torch.randn(1, 4, 16, 16).to(dtype), 10, encoder_hidden_states=torch.randn(1, 7, 16).to(dtype))
    oracle.remove()
    for layer in trace.layers:
        found = trace.probabilities(block=layer.block, kind=layer.kind).reshape(layer.probability)
        assert trace.record(block=layer.block, kind=layer.kind).query.dtype == dtype
        assert trace.record(block=layer.block, kind=layer.kind).upcast
        torch.testing.assert_close(found, oracle.scores[layer.path], atol=2e-6, rtol=0)


def test_value_is_recorded_on_request_for_every_processor(pipe, seeded):
    for processor in (AttnProcessor2_0(), AttnProcessor(), SlicedAttnProcessor(3)):
        pipe.unet.set_attn_processor(processor)
        outputs = {}
        module = pipe.unet.get_submodule("down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0")
        handle = module.register_forward_pre_hook(
            lambda m, args, outputs=outputs: outputs.update(out=args[0])
        )
        with attnscope.capture(pipe, blocks=1, kind="self", value=True) as trace:
            run(pipe, seeded, num_inference_steps=1)
        handle.remove()
        record = trace.record(block=1, kind="self")
        mixed = trace.probabilities(block=1, kind="self").flatten(0, 1) @ record.value
        torch.testing.assert_close(mixed.transpose(1, 2).flatten(2), outputs["out"], atol=1e-5, rtol=1e-4)


def test_every_row_knows_its_image_and_its_branch(pipe, seeded):
    with attnscope.capture(pipe, kind="cross") as trace:
        run(
            pipe,
            seeded,
            prompt=["a red cat", "the star"],
            num_images_per_prompt=2,
            negative_prompt=["grass"] * 2,
        )
    assert [(row.branch, row.image) for row in trace.rows] == [
        (b, i) for b in ("uncond", "cond") for i in range(4)
    ]
    assert [trace.prompt(image) for image in range(4)] == ["a red cat", "a red cat", "the star", "the star"]
    assert trace.span("star", image=3).tokens == (2,)
    with attnscope.capture(pipe, kind="cross") as single:
        run(pipe, seeded, prompt="the star", negative_prompt="grass", guidance_scale=1.0)
    assert single.branches == ("cond",)
    key = single.record(block=1, kind="cross").key[0]
    of_rows = trace.record(block=1, kind="cross").key
    same = [torch.allclose(key, row, atol=1e-5) for row in of_rows]
    assert same == [False] * 6 + [True] * 2


def test_rows_are_known_when_both_branches_have_the_same_text(pipe, seeded):
    with attnscope.capture(pipe, kind="cross") as trace:
        run(pipe, seeded, prompt="")
    assert [row.branch for row in trace.rows] == ["uncond", "cond"]


def test_prompt_embeds_have_numbered_tokens(pipe, seeded):
    embeds = torch.randn(1, 77, 16)
    with attnscope.capture(pipe, kind="cross") as trace:
        run(pipe, seeded, prompt=None, prompt_embeds=embeds, negative_prompt_embeds=-embeds)
    assert trace.branches == ("uncond", "cond")
    assert trace.tokens()[5].text == "[5]"
    assert attnscope.heat_map(trace, 5).array.shape == (16, 16)


def test_what_the_pipeline_says_of_the_run_is_kept(pipe, seeded):
    with attnscope.capture(pipe, blocks=7) as trace:
        pictures = run(
            pipe, seeded, output_type="pil", height=64, width=192, generator=seeded(17), num_inference_steps=3
        )
    facts = trace.run
    assert (facts.seed, facts.planned_steps, facts.scheduler) == (17, 3, "DDIMScheduler")
    assert facts.image_size_hw == (64, 192)
    assert facts.prompts == [PROMPT]
    assert trace.picture.tobytes() == pictures[0].tobytes()
    assert [step.timestep for step in trace.steps] == [float(t) for t in pipe.scheduler.timesteps]


def test_model_and_revision_are_known_where_the_hub_says_them(pipe):
    def named(name, unet_source):
        config = types.SimpleNamespace(_name_or_path=unet_source)
        return types.SimpleNamespace(name_or_path=name, unet=types.SimpleNamespace(config=config))

    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = f"/cache/models--a--b/snapshots/{commit}/unet"
    assert _model_and_revision(named("a/b", snapshot)) == ("a/b", commit)
    assert _model_and_revision(named("./mine", "")) == ("./mine", None)
    assert _model_and_revision(named(str(DEMO_FOLDER), "")) == ("demo", None)
    assert _model_and_revision(pipe) == (None, None)


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


def test_a_bare_unet_has_images_of_one_branch_unless_told():
    unet = tiny_unet()
    sample, text = torch.randn(4, 4, 16, 16), torch.randn(4, 9, 16)
    with attnscope.capture(unet) as trace, torch.no_grad():
        unet(sample, 3, encoder_hidden_states=text)
        unet(sample, 1, encoder_hidden_states=text)
    assert (trace.branches, trace.images, [step.timestep for step in trace.steps]) == (
        ("cond",),
        4,
        [3.0, 1.0],
    )
    with attnscope.capture(unet, branches=("uncond", "cond")) as trace, torch.no_grad():
        unet(sample, 3, encoder_hidden_states=text)
    assert [(row.branch, row.image) for row in trace.rows] == [
        ("uncond", 0),
        ("uncond", 1),
        ("cond", 0),
        ("cond", 1),
    ]
    with pytest.raises(CaptureError, match="4 rows, which can't be 3 branches"):
        with attnscope.capture(unet, branches=("a", "b", "c")), torch.no_grad():
            unet(sample, 3, encoder_hidden_states=text)


def test_an_attention_mask_is_part_of_the_probability():
    unet = tiny_unet()
    mask = torch.ones(1, 9, dtype=torch.bool)
    mask[:, 5:] = False
    for processor in (AttnProcessor2_0(), AttnProcessor(), SlicedAttnProcessor(2)):
        unet.set_attn_processor(processor)
        with attnscope.capture(unet, kind="cross", blocks=1) as trace, torch.no_grad():
            text = torch.randn(1, 9, 16)
            unet(torch.randn(1, 4, 16, 16), 3, encoder_hidden_states=text, encoder_attention_mask=mask)
        shares = trace.probabilities(block=1, kind="cross")
        assert shares[..., 5:].max() < 1e-6
        assert shares[..., :5].sum(-1).allclose(torch.ones(1))


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


def test_two_runs_in_one_capture_are_refused(pipe, seeded):
    with pytest.raises(CaptureError, match="a trace holds one run"), attnscope.capture(pipe):
        run(pipe, seeded)
        run(pipe, seeded)


def test_captures_one_after_the_other_are_independent(pipe, seeded):
    traces = []
    for prompt in ("a red cat", "the star"):
        with attnscope.capture(pipe, kind="cross") as trace:
            run(pipe, seeded, prompt=prompt)
        traces.append(trace)
    assert [trace.prompt() for trace in traces] == ["a red cat", "the star"]
    assert all(len(trace.steps) == 2 for trace in traces)


def test_an_opaque_processor_is_named_with_the_call_that_helps(pipe, seeded):
    pipe.unet.set_attn_processor(Opaque())
    with pytest.raises(UnobservedError) as caught, attnscope.capture(pipe):
        run(pipe, seeded)
    message = str(caught.value)
    assert "block 1 self (down_blocks.0.attentions.0.transformer_blocks.0.attn1)" in message
    assert "processor Opaque" in message
    assert "set_attn_processor" in message
    assert leftovers(pipe) == []


def test_xformers_is_named_with_the_call_that_helps(pipe, seeded):
    class XFormersAttnProcessor(Opaque):
        pass

    pipe.unet.set_attn_processor(XFormersAttnProcessor())
    with (
        pytest.raises(UnobservedError, match="disable_xformers_memory_efficient_attention"),
        attnscope.capture(pipe),
    ):
        run(pipe, seeded)


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

    with pytest.raises(ModelError, match="FluxPipeline has no U-Net"):
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
        with attnscope.capture(unet) as trace, torch.no_grad():
            unet(torch.empty(2, 4, 16, 24), 3, encoder_hidden_states=torch.empty(2, 77, 16))
    assert [layer.probability for layer in trace.layers[:2]] == [(16, 384, 384), (16, 384, 77)]


def test_guidance_that_ends_early_is_followed(pipe, seeded):
    def end_guidance(pipeline, index, timestep, kwargs):
        if index == 1:
            pipeline._guidance_scale = 0.0
            kwargs["prompt_embeds"] = kwargs["prompt_embeds"].chunk(2)[-1]
        return kwargs

    options = {"num_inference_steps": 4, "callback_on_step_end": end_guidance}
    options["callback_on_step_end_tensor_inputs"] = ["prompt_embeds"]
    plain = run(pipe, seeded, **options)
    with attnscope.capture(pipe, kind="cross") as trace:
        assert torch.equal(plain, run(pipe, seeded, **options))
    assert [len(step.rows) for step in trace.steps] == [2, 2, 1, 1]
    assert trace.probabilities(block=1, kind="cross", branch="cond").shape[0] == 4
    with pytest.raises(SelectionError, match="step 2 has no row for branch 'uncond'"):
        trace.probabilities(block=1, kind="cross")


def test_edited_embeddings_keep_their_branches_and_it_is_said(pipe, seeded):
    def fade(pipeline, index, timestep, kwargs):
        kwargs["prompt_embeds"] = kwargs["prompt_embeds"] * 0.9
        return kwargs

    with (
        pytest.warns(UserWarning, match="rows keep the branches"),
        attnscope.capture(pipe, kind="cross") as trace,
    ):
        run(pipe, seeded, callback_on_step_end=fade, callback_on_step_end_tensor_inputs=["prompt_embeds"])
    assert [step.rows for step in trace.steps] == [trace.rows] * 2


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


def test_a_capture_too_large_for_memory_is_said_at_its_first_step(pipe, seeded, monkeypatch, tmp_path):
    monkeypatch.setattr("attnscope.keeping.LARGE_BYTES", 1e6)
    with (
        pytest.warns(LargeCaptureWarning, match=r"GB in memory .*where='run.trace'"),
        attnscope.capture(pipe),
    ):
        run(pipe, seeded)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with attnscope.capture(pipe, where=tmp_path / "run.trace"):
            run(pipe, seeded)


def test_no_warning_comes_from_a_capture(pipe, seeded):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with attnscope.capture(pipe):
            run(pipe, seeded)

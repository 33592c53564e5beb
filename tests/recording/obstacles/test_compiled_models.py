"""Models that are compiled, traced, exported, graphed or transformed are refused by name, with a remedy that works."""

import warnings

import pytest
import torch
from torch import nn

import attnscope
from attnscope.errors import CaptureError
from obstacle_cases import BOTH, MIDDLE, assert_captured, call, follow, inputs, refused, small_pipe

EAGER = {"backend": "eager"}  # what is compiled is run by Python: only that it is compiled matters


# torch.compile and its like


def compile_whole(pipe):
    pipe.unet = torch.compile(pipe.unet, **EAGER)


def compile_in_place(pipe):
    pipe.unet.compile(**EAGER)


def compile_forward(pipe):
    pipe.unet.forward = torch.compile(pipe.unet.forward, **EAGER)


def compile_repeated_blocks(pipe):
    pipe.unet.compile_repeated_blocks(**EAGER)


def compile_inner_block(pipe):
    pipe.unet.mid_block = torch.compile(pipe.unet.mid_block, **EAGER)


def compile_inner_block_in_place(pipe):
    pipe.unet.up_blocks[1].attentions[0].compile(**EAGER)


def compile_attention(pipe):
    block = pipe.unet.get_submodule(MIDDLE)
    block.attn1 = torch.compile(block.attn1, **EAGER)


def compile_attention_forward(pipe):
    attention = pipe.unet.get_submodule(MIDDLE).attn2
    attention.forward = torch.compile(attention.forward, **EAGER)


def compile_processor(pipe):
    from diffusers.models.attention_processor import AttnProcessor2_0

    pipe.unet.set_attn_processor(torch.compile(AttnProcessor2_0(), **EAGER))


def compile_processors_class(pipe):
    from diffusers.models.attention_processor import AttnProcessor2_0

    kind = type("Fast", (), {"__call__": torch.compile(AttnProcessor2_0.__call__, **EAGER)})
    pipe.unet.set_attn_processor(kind())


COMPILED = [
    compile_whole,
    compile_in_place,
    compile_forward,
    compile_repeated_blocks,
    compile_inner_block,
    compile_inner_block_in_place,
    compile_attention,
    compile_attention_forward,
    compile_processor,
    compile_processors_class,
]


@pytest.mark.parametrize("compile_it", COMPILED, ids=lambda case: case.__name__)
def test_what_is_compiled_is_refused_before_it_runs_and_put_back_by_the_remedy(compile_it):
    pipe = small_pipe()
    if compile_it is compile_repeated_blocks and not hasattr(pipe.unet, "compile_repeated_blocks"):
        pytest.skip("this diffusers has no compile_repeated_blocks")
    compile_it(pipe)
    with pytest.raises(CaptureError, match="compiled") as caught:
        attnscope.capture(pipe.unet, branches=BOTH)
    follow(caught.value, pipe=pipe)
    assert_captured(pipe)


def test_a_compiled_part_without_attention_is_in_nobodys_way():
    pipe = small_pipe()
    pipe.unet.mid_block.resnets[0].compile(**EAGER)
    pipe.unet.conv_in = torch.compile(pipe.unet.conv_in, **EAGER)
    pipe.unet.get_submodule(MIDDLE).attn1.to_q.compile(**EAGER)
    pipe.text_encoder = torch.compile(nn.Linear(2, 2), **EAGER)
    assert_captured(pipe)


@pytest.mark.filterwarnings("ignore:.*TorchScript|.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("of", ["unet", "mid_block"])
def test_a_traced_model_is_refused_by_name(of):
    pipe = small_pipe()
    original = pipe.unet if of == "unet" else pipe.unet.mid_block
    given = inputs()
    if of == "unet":
        example = (given["sample"], given["timestep"], given["encoder_hidden_states"])
        pipe.unet = torch.jit.trace(original.eval(), example, strict=False, check_trace=False)
    else:
        example = (torch.randn(2, 32, 8, 8), torch.randn(2, 64), given["encoder_hidden_states"])
        pipe.unet.mid_block = torch.jit.trace(original, example, check_trace=False)
    with pytest.raises(CaptureError, match=r"TorchScript program \(traced with torch.jit.trace\)") as caught:
        attnscope.capture(pipe.unet, branches=BOTH)
    follow(caught.value, pipe=pipe, ORIGINAL=original)
    assert_captured(pipe)


def test_an_exported_block_is_refused_by_name():
    pipe = small_pipe()
    original = pipe.unet.mid_block
    example = (torch.randn(2, 32, 8, 8), torch.randn(2, 64), inputs()["encoder_hidden_states"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exported = torch.export.export(original, example).module()
    pipe.unet.mid_block = exported
    with pytest.raises(CaptureError, match="mid_block of pipe.unet is a graph") as caught:
        attnscope.capture(pipe.unet, branches=BOTH)
    follow(caught.value, pipe=pipe, ORIGINAL=original)
    assert_captured(pipe)


def test_a_cuda_graph_is_named():
    """A stand-in for torch.cuda.make_graphed_callables, which needs a GPU: it sets such a forward."""
    pipe = small_pipe()

    def new_fwd(*args):
        raise AssertionError("never called")

    new_fwd.__module__ = "torch.cuda.graphs"
    pipe.unet.forward = new_fwd
    with pytest.raises(CaptureError, match="replays a CUDA graph") as caught:
        attnscope.capture(pipe.unet, branches=BOTH)
    follow(caught.value, pipe=pipe)
    assert_captured(pipe)


def test_a_graph_under_way_is_refused_since_its_memory_is_written_again(monkeypatch):
    pipe = small_pipe()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    assert "a CUDA graph is recorded" in refused(pipe)


def test_copies_on_several_gpus_are_refused_and_a_single_one_is_right(monkeypatch):
    pipe = small_pipe()
    wrapped = nn.DataParallel(pipe.unet)
    with attnscope.capture(wrapped, branches=BOTH) as trace:
        call(wrapped)
    assert len(trace.layers) == 12
    wrapped.device_ids = [0, 1]
    with pytest.raises(CaptureError, match="copies on 2 GPUs") as caught:
        attnscope.capture(wrapped, branches=BOTH)
    names = {"unet": wrapped}
    follow(caught.value, **names)


# Transforms


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch's own, at the first jvp
@pytest.mark.parametrize("transform", ["vmap", "grad", "jvp"])
def test_transforms_of_torch_func_are_refused_by_name(transform):
    unet, given = small_pipe().unet, inputs()

    def of(sample):
        rows = sample if transform != "vmap" else sample[None]
        text = (
            given["encoder_hidden_states"][: len(rows)]
            if transform != "vmap"
            else given["encoder_hidden_states"][:1]
        )
        return unet(rows, 3, encoder_hidden_states=text).sample

    with (
        pytest.raises(CaptureError, match="inside a transform of torch.func"),
        attnscope.capture(unet, branches=BOTH),
    ):
        if transform == "vmap":
            torch.func.vmap(of)(given["sample"])
        elif transform == "grad":
            torch.func.grad(lambda sample: of(sample).sum())(given["sample"])
        else:
            torch.func.jvp(of, (given["sample"],), (given["sample"],))


def inference_mode(unet):
    with torch.inference_mode():
        return unet(**inputs())


def functional_call(unet):
    with torch.no_grad():
        return torch.func.functional_call(unet, dict(unet.named_parameters()), (), inputs())


@pytest.mark.parametrize("way", [inference_mode, functional_call])
def test_other_ways_to_call_a_model_are_seen_right(way):
    pipe = small_pipe()
    assert_captured(pipe, lambda: way(pipe.unet))


def test_autocast_is_seen_as_it_computes():
    pipe = small_pipe()

    def run():
        with torch.autocast("cpu", torch.bfloat16):
            return call(pipe.unet)

    trace = assert_captured(pipe, run, tolerance=1e-5)
    assert trace.record(block=1, kind="self").query.dtype == torch.bfloat16

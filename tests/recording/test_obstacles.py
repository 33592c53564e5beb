"""Every obstacle is named by its true cause, and the remedy in its message works when it is run as it stands."""

import sys
import types
import warnings
from functools import partial

import pytest
import torch
from torch import nn

import attnscope
from attnscope.errors import CaptureError, ModelError, UnobservedError
from obstacle_cases import BOTH, MIDDLE, assert_captured, call, follow, inputs, small_pipe

EAGER = {"backend": "eager"}  # what is compiled is run by Python: only that it is compiled matters


@pytest.fixture(autouse=True)
def _sdpa_is_put_back():
    own = nn.functional.scaled_dot_product_attention
    yield
    nn.functional.scaled_dot_product_attention = own


def refused(pipe, error=CaptureError):
    with pytest.raises(error) as caught, attnscope.capture(pipe.unet, branches=BOTH):
        call(pipe.unet)
    return str(caught.value)


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


# Attention functions


def test_a_replaced_attention_function_is_named_with_its_file():
    pipe = small_pipe()

    def sageattn(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None):
        return (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1) @ v

    nn.functional.scaled_dot_product_attention = sageattn
    message = refused(pipe, UnobservedError)
    assert "scaled_dot_product_attention was replaced by" in message
    assert "sageattn" in message
    assert "test_obstacles.py" in message
    follow(message, pipe=pipe)
    assert_captured(pipe)


def test_a_compiled_attention_function_is_named_as_such():
    """A stand-in for what Inductor makes, which needs a C++ compiler: the mark, and code that no mode sees."""
    pipe, own = small_pipe(), nn.functional.scaled_dot_product_attention

    def compiled(q, k, v, **_):
        return (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1) @ v

    compiled._torchdynamo_orig_callable = own
    nn.functional.scaled_dot_product_attention = compiled
    message = refused(pipe, UnobservedError)
    assert "scaled_dot_product_attention is compiled (torch.compile)" in message
    follow(message, pipe=pipe)
    assert_captured(pipe)


def test_a_replaced_function_that_calls_the_original_is_seen():
    pipe, own = small_pipe(), nn.functional.scaled_dot_product_attention

    def timed(*args, **kwargs):
        return own(*args, **kwargs)

    nn.functional.scaled_dot_product_attention = timed
    assert_captured(pipe)


def qkv(attn, hidden_states, encoder_hidden_states):
    context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
    parts = (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
    return (part.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for part in parts)


def out(attn, hidden):
    return attn.to_out[0](hidden.transpose(1, 2).flatten(2))


class ByHand:
    """A processor with softmax written out, in a function of its own."""

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None):
        return out(attn, self.attend(*qkv(attn, hidden_states, encoder_hidden_states), attn.scale))

    def attend(self, q, k, v, scale):
        scores = torch.einsum("bhqd,bhkd->bhqk", q, k) * scale
        return torch.matmul(torch.softmax(scores, dim=-1), v)


class AModule(nn.Module):
    """A processor with weights, that is called as modules are."""

    def forward(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None):
        q, k, v = (part.flatten(0, 1) for part in qkv(attn, hidden_states, encoder_hidden_states))
        hidden = torch.bmm(torch.bmm(q * attn.scale, k.mT).softmax(-1), v)
        return out(attn, hidden.unflatten(0, (-1, attn.heads)))


def by_function(attn, hidden_states, encoder_hidden_states=None, attention_mask=None, extra=0):
    q, k, v = qkv(attn, hidden_states, encoder_hidden_states)
    scores = torch.baddbmm(q.new_zeros(1), q.flatten(0, 1), k.flatten(0, 1).mT, alpha=attn.scale)
    return out(attn, scores.softmax(-1).unflatten(0, q.shape[:2]) @ v)


class WithKernel:
    """A processor that calls a kernel of xformers, as its users write it."""

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None):
        import xformers.ops

        q, k, v = qkv(attn, hidden_states, encoder_hidden_states)
        return out(attn, xformers.ops.memory_efficient_attention(q, k, v))


def stand_in_for_xformers(monkeypatch):
    """xformers has no build for this torch: a module with its one function, that diffusers' own processor calls."""
    from diffusers.models import attention_processor

    def memory_efficient_attention(query, key, value, attn_bias=None, op=None, scale=None):
        return (query @ key.mT * query.shape[-1] ** -0.5).softmax(-1) @ value

    ops = types.ModuleType("xformers.ops")
    ops.memory_efficient_attention = memory_efficient_attention
    package = types.ModuleType("xformers")
    package.ops = ops
    monkeypatch.setitem(sys.modules, "xformers", package)
    monkeypatch.setitem(sys.modules, "xformers.ops", ops)
    monkeypatch.setattr(attention_processor, "xformers", package, raising=False)


def test_xformers_own_processor_is_named_and_switched_off(monkeypatch):
    from diffusers.models.attention_processor import XFormersAttnProcessor

    stand_in_for_xformers(monkeypatch)
    pipe = small_pipe()
    pipe.unet.set_attn_processor(XFormersAttnProcessor())
    message = refused(pipe, UnobservedError)
    assert "XFormersAttnProcessor" in message
    assert "disable_xformers_memory_efficient_attention" in message
    follow(message, pipe=pipe)
    assert_captured(pipe)


@pytest.mark.parametrize(
    ("processor", "cause"),
    [
        (WithKernel, "computes attention in xformers"),
        (ByHand, r"by hand (softmax, einsum, matmul)"),
        (AModule, r"by hand (softmax, bmm)"),
        (lambda: partial(by_function, extra=1), "by hand (softmax, baddbmm)"),
    ],
)
def test_a_processor_of_ones_own_is_named_with_its_file(monkeypatch, processor, cause):
    stand_in_for_xformers(monkeypatch)
    pipe = small_pipe()
    pipe.unet.set_attn_processor(processor())
    message = refused(pipe, UnobservedError)
    name = processor.__name__ if isinstance(processor, type) else "by_function"
    assert f"its processor {name} (" in message
    assert "test_obstacles.py:" in message
    assert cause in message
    follow(message, pipe=pipe)
    assert_captured(pipe)


def test_a_replaced_forward_is_named_with_its_function_and_file():
    """As prompt-to-prompt's register_attention_control does it."""
    pipe = small_pipe()

    def register(attention):
        def ca_forward(hidden_states, encoder_hidden_states=None, attention_mask=None):
            return ByHand()(attention, hidden_states, encoder_hidden_states)

        attention.forward = ca_forward

    for module in pipe.unet.modules():
        if hasattr(module, "heads"):
            register(module)
    message = refused(pipe, UnobservedError)
    assert "its forward was replaced by" in message
    assert "ca_forward" in message
    assert "test_obstacles.py:" in message
    follow(message, pipe=pipe)
    assert_captured(pipe)


def test_a_replaced_forward_that_calls_the_attention_function_is_seen():
    pipe = small_pipe()
    attention = pipe.unet.get_submodule(MIDDLE).attn1

    def forward(hidden_states, encoder_hidden_states=None, attention_mask=None):
        q, k, v = qkv(attention, hidden_states, encoder_hidden_states)
        return out(attention, nn.functional.scaled_dot_product_attention(q, k, v))

    attention.forward = forward
    assert_captured(pipe)


class Dispatched:
    """A processor that lets diffusers choose the kernel."""

    _attention_backend = None

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None):
        from diffusers.models.attention_dispatch import dispatch_attention_fn

        parts = (part.transpose(1, 2) for part in qkv(attn, hidden_states, encoder_hidden_states))
        return attn.to_out[0](dispatch_attention_fn(*parts, backend=self._attention_backend).flatten(2))


def test_diffusers_backends_are_named_or_seen():
    pipe = small_pipe()
    if not hasattr(pipe.unet, "set_attention_backend"):
        pytest.skip("this diffusers has no attention backends")
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry as registry

    before, flex = registry._active_backend, registry._backends["flex"]
    try:
        for backend in ("flex", "_native_math", "native"):  # a U-Net's own processors ask no backend
            pipe.unet.set_attention_backend(backend)
            assert_captured(pipe)
        pipe.unet.set_attn_processor(Dispatched())
        assert_captured(pipe)
        registry._backends["flex"] = lambda query, key, value, **_: (
            value.mean(1, True).expand_as(query).contiguous()
        )
        pipe.unet.set_attention_backend("flex")
        message = refused(pipe, UnobservedError)
        assert "attention backend 'flex'" in message
        follow(message, pipe=pipe)
        assert_captured(pipe)
    finally:
        registry._active_backend = before
        registry._backends["flex"] = flex


# Models of other kinds


@pytest.mark.filterwarnings("ignore:.*OnnxRuntimeModel:FutureWarning")
def test_a_unet_that_is_no_module_is_named_by_what_runs_it():
    from diffusers.pipelines.onnx_utils import OnnxRuntimeModel

    pipe = type("OnnxStableDiffusionPipeline", (), {})()
    pipe.unet, pipe.name_or_path = OnnxRuntimeModel(model=None), "demo"
    with pytest.raises(
        ModelError, match="OnnxRuntimeModel, no torch.nn.Module: its attention runs in ONNX Runtime"
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
            ModelError, match="no torch.nn.Module" if ask is attnscope.capture else "no U-Net"
        ):
            ask(pipe)
    with pytest.raises(ModelError, match=runtime):
        attnscope.capture(pipe)


def test_models_of_other_kinds_are_refused_by_the_name_of_their_class():
    from diffusers import FluxTransformer2DModel, PixArtTransformer2DModel

    flux = FluxTransformer2DModel(
        in_channels=4, num_layers=1, num_single_layers=1, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=8, pooled_projection_dim=8, axes_dims_rope=(2, 2, 4),
    )  # fmt: skip
    pixart = PixArtTransformer2DModel(
        num_attention_heads=2, attention_head_dim=8, num_layers=1, cross_attention_dim=16, sample_size=8,
        caption_channels=8, patch_size=2, in_channels=4, out_channels=4, use_additional_conditions=False,
    )  # fmt: skip
    pipe = type("FluxPipeline", (), {"transformer": flux})()
    with pytest.raises(
        ModelError, match="FluxPipeline denoises with pipe.transformer, a FluxTransformer2DModel"
    ):
        attnscope.capture(pipe)
    for model in (flux, pixart):
        with pytest.raises(
            ModelError, match=f"a {type(model).__name__} is no U-Net: .* not support such models yet"
        ):
            attnscope.capture(model)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "demo",
            r"'demo' is a name and no pipeline: load it first, `pipe = attnscope.load_pipeline\('demo'\)`",
        ),
        (type("P", (), {"unet": None})(), "P has no U-Net, pipe.unet is None"),
        (None, "NoneType has no U-Net"),
        (nn.Module, "Module is a class: make a pipeline of it"),
    ],
)
def test_what_is_no_model_is_said(given, message):
    with pytest.raises(ModelError, match=message):
        attnscope.capture(given)


# What works must work


def test_a_model_offloaded_by_accelerate_is_seen_right():
    import accelerate

    pipe = small_pipe()
    accelerate.cpu_offload(pipe.unet, torch.device("cpu"))
    assert_captured(pipe)


@pytest.mark.parametrize("level", ["leaf_level", "block_level"])
def test_models_offloaded_by_diffusers_are_seen_right(level):
    hooks = pytest.importorskip("diffusers.hooks", reason="diffusers before 0.33 has no hooks that offload")
    pipe, cpu = small_pipe(), torch.device("cpu")
    try:
        hooks.apply_group_offloading(pipe.unet, cpu, cpu, level, num_blocks_per_group=1)
    except AttributeError as error:
        if "NoneType" in str(error):
            pytest.skip("this diffusers offloads only where there is an accelerator")
        raise
    assert_captured(pipe)


def test_models_cast_by_diffusers_are_seen_right():
    pytest.importorskip("diffusers.hooks", reason="diffusers before 0.33 has no hooks that cast")
    pipe = small_pipe()
    pipe.unet.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32)
    assert_captured(pipe)


def test_dynamically_quantised_layers_are_seen_right():
    pipe = small_pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipe.unet = torch.ao.quantization.quantize_dynamic(pipe.unet, {nn.Linear}, dtype=torch.qint8)
    assert_captured(pipe)


def test_captures_one_after_the_other_and_one_inside_the_other():
    pipe = small_pipe()
    assert_captured(pipe)
    assert_captured(pipe)
    with attnscope.capture(pipe.unet, branches=BOTH) as trace:
        with pytest.raises(CaptureError, match="being captured already"):
            attnscope.capture(pipe.unet, branches=BOTH).__enter__()
        call(pipe.unet)
    assert len(trace.layers) == 12


# The packages themselves, where they are installed


def quantised_by_torchao(unet):
    quantization = pytest.importorskip("torchao.quantization", reason="torchao is not installed")
    quantization.quantize_(unet, quantization.Int8WeightOnlyConfig())


def quantised_by_quanto(unet):
    quanto = pytest.importorskip("optimum.quanto", reason="optimum-quanto is not installed")
    quanto.quantize(unet, weights=quanto.qint8)
    quanto.freeze(unet)


def quantised_by_bitsandbytes(unet):
    bitsandbytes = pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    for path, module in list(unet.named_modules()):
        if path.endswith("to_q"):
            made = bitsandbytes.nn.Linear4bit(
                module.in_features, module.out_features, bias=False, quant_type="nf4"
            )
            made.weight = bitsandbytes.nn.Params4bit(module.weight.data, requires_grad=False)
            unet.set_submodule(path, made.to("cpu"))


def adapted_by_peft(unet):
    peft = pytest.importorskip("peft", reason="peft is not installed")
    unet.add_adapter(peft.LoraConfig(target_modules=["to_q", "to_k"], init_lora_weights=False))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "change", [quantised_by_torchao, quantised_by_quanto, quantised_by_bitsandbytes, adapted_by_peft]
)
def test_quantised_and_adapted_models_are_seen_right(change):
    pipe = small_pipe()
    change(pipe.unet)
    assert_captured(pipe)


def test_a_model_inside_pefts_wrapper_is_seen_right():
    peft = pytest.importorskip("peft", reason="peft is not installed")
    pipe = small_pipe()
    config = peft.LoraConfig(target_modules=["to_q", "to_k"], init_lora_weights=False)
    pipe.unet = peft.get_peft_model(pipe.unet, config)
    assert_captured(pipe)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_models_shared_among_processes_are_seen_right(tmp_path):
    """One process stands for several: what DDP and FSDP put around a model is the same."""
    distributed = pytest.importorskip("torch.distributed", reason="torch was built without distributed")
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        pipe = small_pipe()
        pipe.unet = nn.parallel.DistributedDataParallel(pipe.unet)
        assert_captured(pipe)
        sharded = pytest.importorskip("torch.distributed.fsdp", reason="torch lacks FSDP")
        if not (hasattr(sharded, "fully_shard") and hasattr(torch.cpu.Stream, "record_event")):
            pytest.skip("this torch has no fully_shard that runs on a CPU")
        mesh = distributed.device_mesh.init_device_mesh("cpu", (1,))
        pipe = small_pipe()
        for block in pipe.unet.down_blocks:
            sharded.fully_shard(block, mesh=mesh)
        sharded.fully_shard(pipe.unet, mesh=mesh)
        assert_captured(pipe)
    finally:
        distributed.destroy_process_group()

"""Models that others offload, cast, quantise, adapt or share are seen right."""

import warnings

import pytest
import torch
from torch import nn

import attnscope
from attnscope.errors import CaptureError
from obstacle_cases import BOTH, assert_captured, call, small_pipe

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

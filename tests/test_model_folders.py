"""Model folders from others: no pickle is opened, no code runs, and what is wrong is named."""

import json
import shutil
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

import attnscope
from attnscope.demo.architecture import untrained_pipeline
from attnscope.errors import ModelError, ParameterError

WEIGHTS = {
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "whole"
    untrained_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "model")


def refusal(folder):
    with pytest.raises(ModelError) as caught:
        attnscope.load_pipeline(folder, device="cpu")
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert len(sentence) < 900
    return sentence


def change(path, **entries):
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


class Program:
    """A pickle of it writes a file when it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("part", WEIGHTS)
def test_weights_in_a_pickle_only_are_refused_unopened(folder, tmp_path, part):
    (folder / part / WEIGHTS[part]).unlink()
    name = "pytorch_model.bin" if part == "text_encoder" else "diffusion_pytorch_model.bin"
    torch.save({"weight": Program(tmp_path / "ran")}, folder / part / name)
    assert f"{part} holds its weights in '{name}' only" in refusal(folder)
    assert not (tmp_path / "ran").exists()


def test_a_pickle_beside_the_weights_is_left_alone(folder, tmp_path):
    torch.save({"weight": Program(tmp_path / "ran")}, folder / "unet" / "diffusion_pytorch_model.bin")
    assert attnscope.load_pipeline(folder, device="cpu").unet is not None
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("part", WEIGHTS)
def test_a_part_without_weights_or_with_too_few_is_refused(folder, part):
    path = folder / part / WEIGHTS[part]
    weights = load_file(path)
    lacking = sorted(weights)[-1]
    save_file({name: tensor for name, tensor in weights.items() if name != lacking}, path, {"format": "pt"})
    assert "lacks weights: " in refusal(folder)
    path.unlink()
    assert f"{part} holds no weights" in refusal(folder)


@pytest.mark.parametrize("part", WEIGHTS)
def test_damaged_weights_are_named(folder, part):
    path = folder / part / WEIGHTS[part]
    contents = path.read_bytes()
    claim = json.dumps({"w": {"dtype": "F32", "shape": [2**32], "data_offsets": [0, 2**34]}}).encode()
    for damaged in (
        b"",
        b"abcd",
        contents[: len(contents) // 2],
        struct.pack("<Q", 2**40) + contents[8:],
        struct.pack("<Q", len(claim)) + claim,
    ):
        path.write_bytes(damaged)
        assert f"{path} is damaged or cut short" in refusal(folder)


@pytest.mark.parametrize(
    "text",
    ["[1]", "{}", "", "null", '"x"', "5", "[" * 100_000, "\ud800", '{"_class_name": ["code", "Mine"]}'],
)
def test_an_index_that_is_none_is_named(folder, text):
    (folder / "model_index.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    assert "model_index.json" in refusal(folder)


@pytest.mark.parametrize(
    "name", ["NoSuchPipeline", "X" * 5000, "UNet2DConditionModel", "logging", None, 3, {}, ["a", "b"]]
)
def test_a_pipeline_class_that_is_none_is_named(folder, name):
    change(folder / "model_index.json", _class_name=name)
    assert refusal(folder).startswith("model_index.json ")


@pytest.mark.parametrize(
    "entry",
    [
        ["os", "system"],
        ["subprocess", "Popen"],
        ["builtins", "exec"],
        ["diffusers", "X" * 5000],
        ["l" * 5000, "X"],
        ["diffusers", "FlaxUNet2DConditionModel"],
        ["diffusers", "DDIMScheduler"],
        ["diffusers", "logging"],
        ["diffusers.utils", "logging"],
        ["transformers", "CLIPTokenizer"],
        [1, 2],
        ["diffusers"],
        [],
        "x",
        5,
        {"a": 1},
    ],
)  # fmt: skip
def test_a_part_of_a_class_outside_is_named(folder, entry):
    change(folder / "model_index.json", unet=entry)
    assert "of unet; expected" in refusal(folder)


def test_code_in_the_folder_never_runs(folder, tmp_path):
    program = f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Mine: pass\n"
    for place in ("pipeline.py", "unet/mine.py", "text_encoder/mine.py", "diffusers.py", "transformers.py"):
        (folder / place).write_text(program)
    change(folder / "text_encoder/config.json", auto_map={"AutoModel": "mine.Mine"})
    attnscope.load_pipeline(folder, device="cpu")
    change(folder / "model_index.json", unet=["mine", "Mine"])
    assert "Code from a model's folder" in refusal(folder)
    change(folder / "model_index.json", _class_name=["pipeline", "Mine"])
    assert "code from a model's folder is not run" in refusal(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "argument", [{"use_safetensors": False}, {"trust_remote_code": True}, {"custom_pipeline": "mine"}]
)
def test_arguments_that_would_run_code_are_refused(folder, argument):
    with pytest.raises(ParameterError, match=f"{next(iter(argument))}=.*leave it out"):
        attnscope.load_pipeline(folder, device="cpu", **argument)


SCHEDULES = {
    "num_train_timesteps": ["x", -5, 10**12, None],
    "beta_schedule": ["zzz", 5],
    "beta_start": [float("nan"), float("inf"), "x"],
    "trained_betas": ["x", [float("nan")]],
}


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in SCHEDULES.items() for value in values]
)
def test_a_bad_schedule_is_named(folder, name, value):
    change(folder / "scheduler/scheduler_config.json", **{name: value})
    assert "scheduler" in refusal(folder)


@pytest.mark.parametrize(
    ("part", "entries"),
    [
        ("unet", {"attention_head_dim": 0}),
        ("unet", {"in_channels": "4"}),
        ("unet", {"cross_attention_dim": 10**9}),
        ("text_encoder", {"vocab_size": -1}),
        ("text_encoder", {"vocab_size": 10**10}),
        ("text_encoder", {"hidden_size": 7}),
        ("text_encoder", {"intermediate_size": 24}),
        ("vae", {"block_out_channels": None}),
    ],
)
def test_a_bad_configuration_names_its_part(folder, part, entries):
    change(folder / part / "config.json", **entries)
    assert part in refusal(folder)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_part_that_is_missing_is_named(folder, part):
    shutil.rmtree(folder / part)
    assert f"{part} is missing" in refusal(folder)


def test_a_part_that_the_caller_brings_is_not_looked_at(folder, whole):
    unet = attnscope.load_pipeline(whole, device="cpu").unet
    shutil.rmtree(folder / "unet")
    assert attnscope.load_pipeline(folder, device="cpu", unet=unet).unet is unet


@pytest.mark.parametrize("closed", [".", "unet", "model_index.json"])
def test_a_folder_that_nobody_may_read_is_one_error(nobody, closed):
    folder = nobody / "model"
    attnscope.load_pipeline("demo", device="cpu").save_pretrained(folder)
    (folder / closed).chmod(0)
    assert "can't be read" in refusal(folder)
    (folder / closed).chmod(0o700)

"""What the doctor says of a machine and of a model is what is there."""

import importlib.metadata
import socket
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from types import SimpleNamespace

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0

import attnscope
from attnscope.recording.doctor import hub as hub_module
from attnscope.recording.doctor import machine
from attnscope.recording.doctor.hub import hub, hub_obstacles
from attnscope.recording.doctor.machine import Version, version_obstacles, versions
from attnscope.recording.doctor.model import check_model, memory_obstacles
from attnscope.recording.obstacles.obstacle import Obstacle
from attnscope.recording.obstacles.skipped import answering_hook
from attnscope.storage import room
from attnscope.testing.tiny_models import tiny_unet
from capture_cases import leftovers
from obstacle_cases import small_pipe


class Opaque:
    """Shows neither Q nor K."""

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, **kwargs):
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context)
        return attn.to_out[0]((q @ k.mT).softmax(-1) @ v)


def test_every_layer_of_a_pipeline_is_tried_and_nothing_is_left_on_it(pipe):
    state = torch.random.get_rng_state()
    report = attnscope.doctor(pipe)
    assert [(layer.block, layer.kind) for layer in report.model.layers[:2]] == [(1, "self"), (1, "cross")]
    assert len(report.model.layers) == 32
    assert all(layer.seen for layer in report.model.layers)
    first = report.model.layers[0]
    assert (first.processor, first.runs, first.dtype, first.device) == (
        "AttnProcessor2_0",
        "SDPA",
        "float32",
        "cpu",
    )
    assert report.model.kind == "StableDiffusionPipeline"
    assert report.model.memory == attnscope.estimate(pipe, steps=50)
    assert report.well
    assert leftovers(pipe) == []
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_layers_that_a_capture_does_not_see_are_told_from_the_others():
    pipe = small_pipe()
    processors = {
        name: Opaque() if "mid_block" in name else AttnProcessor() if "attn1" in name else AttnProcessor2_0()
        for name in pipe.unet.attn_processors
    }
    pipe.unet.set_attn_processor(processors)
    found, obstacles = check_model(pipe.unet, "mine")
    seen = {(layer.block, layer.kind): layer.seen for layer in found.layers}
    assert [at for at, right in seen.items() if not right] == [(3, "self"), (3, "cross")]
    runs = {layer.runs for layer in found.layers}
    assert runs == {"by hand", "scores", "SDPA"}
    assert len(obstacles) == 2  # one for each kind
    assert "its processor Opaque" in str(obstacles[0])
    assert "test_doctor.py" in str(obstacles[0])


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda unet: torch.compile(unet, backend="eager"), "it is compiled|pipe.unet is compiled"),
        (lambda unet: SimpleNamespace(), "not a torch.nn.Module"),
        (lambda unet: None, "pipe.unet is None"),
    ],
)
def test_what_keeps_a_model_from_being_captured_is_the_obstacle(pipe, change, cause):
    broken = type("Pipe", (), {**pipe.components, "unet": change(pipe.unet)})()
    report = attnscope.doctor(broken)
    assert not report.well
    assert report.model.layers == ()
    (obstacle,) = report.obstacles
    assert __import__("re").search(cause, obstacle.cause)
    assert obstacle.remedy


def test_a_pipeline_with_a_cache_is_not_run():
    hooks = pytest.importorskip("diffusers.hooks", reason="this diffusers has no hooks")
    pipe = small_pipe()
    config = hooks.PyramidAttentionBroadcastConfig(
        spatial_attention_block_skip_range=2, current_timestep_callback=lambda: 3
    )
    hooks.apply_pyramid_attention_broadcast(pipe.unet, config)
    pipe.unet.forward = None  # it would fail
    del pipe.unet.forward
    calls = []
    handle = pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    found, obstacles = check_model(pipe.unet, "mine")
    handle.remove()
    assert calls == []
    assert {layer.seen for layer in found.layers} == {None}
    assert "Pyramid Attention Broadcast" in found.note
    assert answering_hook(pipe.unet.get_submodule(found.layers[0].path)).cause == obstacles[0].cause


UNETS = {
    "class labels": {"num_class_embeds": 10},
    "a noise level": {"class_embed_type": "timestep"},
    "a picture's embedding": {"class_embed_type": "projection", "projection_class_embeddings_input_dim": 24},
    "XL": {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 4,
        "projection_class_embeddings_input_dim": 8 + 24,
    },
    "a text projection": {"encoder_hid_dim": 12, "encoder_hid_dim_type": "text_proj"},
    "nine channels": {"in_channels": 9},
}


@pytest.mark.parametrize("changes", UNETS.values(), ids=UNETS)
def test_unets_that_ask_for_more_are_tried_as_well(changes):
    found, obstacles = check_model(tiny_unet(**changes), "mine")
    assert (found.note, obstacles) == ("", ())
    assert all(layer.seen for layer in found.layers)


def test_a_unet_that_can_not_be_called_so_is_not_tried_and_says_why():
    found, obstacles = check_model(tiny_unet(addition_embed_type="image", encoder_hid_dim=8), "mine")
    assert obstacles == ()
    assert {layer.seen for layer in found.layers} == {None}
    assert "a tiny step could not be taken" in found.note


def test_a_model_whose_weights_are_not_here_is_read_from_its_configuration(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    report = attnscope.doctor("sd1")
    assert len(report.model.layers) == 32
    assert {layer.seen for layer in report.model.layers} == {None}
    assert "weights of 'sd1' are not on this machine" in report.obstacles[0].cause
    assert "attnscope.load_pipeline('sd1')" in report.obstacles[0].remedy
    assert list(tmp_path.iterdir()) == []
    unknown = attnscope.doctor("sd17")
    assert unknown.model.kind == "unknown"
    assert "no model 'sd17'" in str(unknown.obstacles[0])


# Versions


def test_versions_are_those_installed_and_bounds_those_of_the_package():
    found = {package.name: package for package in versions()}
    assert found["torch"].version == importlib.metadata.version("torch")
    declared = [line for line in importlib.metadata.requires("attnscope") if line.startswith("torch")]
    assert declared[0] == f"torch{found['torch'].supported}"
    assert found["diffusers"].supported.startswith(">=0.")
    assert all(package.fits for package in found.values() if package.needed)


def test_what_only_attnscopes_own_tests_ask_for_is_no_obstacle(monkeypatch):
    assert any("triton>=3.3" in line for line in importlib.metadata.requires("attnscope"))
    version = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "3.0.0" if name == "triton" else version(name)
    )
    assert "triton 3.0.0" not in str(list(version_obstacles(versions())))


@pytest.mark.parametrize(
    ("version", "bounds", "fits"),
    [
        ("2.13.0+cpu", ">=2.4", True),
        ("2.3.1", ">=2.4", False),
        ("2.10", ">=2.9", True),
        ("3.14.0", "<3.14,>=3.10", False),
        ("3.13.9", "<3.14,>=3.10", True),
        ("0.43.0.dev0", ">=0.30", True),
        ("5.0.0rc1", ">=4.44", True),
        ("1.0", "", True),
    ],
)
def test_bounds_compare_numbers(version, bounds, fits):
    assert machine._fits(version, bounds) is fits


def test_wrong_and_missing_packages_are_obstacles_with_the_command_that_helps():
    found = (
        Version("torch", "2.1", ">=2.4", fits=False, needed=True),
        Version("diffusers", None, ">=0.30", fits=False, needed=True),
        Version("fastapi", None, ">=0.115", fits=False, needed=False),
        Version("python", "3.9.1", ">=3.10", fits=False, needed=True),
    )
    said = [str(obstacle) for obstacle in version_obstacles(found)]
    assert said == [
        'torch 2.1 is not supported; expected >=2.4: `pip install "torch>=2.4"`',
        'diffusers is not installed: `pip install "diffusers>=0.30"`',
        "python 3.9.1 is not supported; expected >=3.10: use Python >=3.10",
    ]


# Memory


def test_a_capture_larger_than_memory_is_an_obstacle_with_a_way_that_fits():
    memory = attnscope.estimate("sd1", steps=50)
    assert list(memory_obstacles(memory, int(8e9))) == []
    assert list(memory_obstacles(memory, None)) == []
    (obstacle,) = memory_obstacles(memory, int(4e9))
    assert obstacle == Obstacle(
        "Q and K of all layers and 50 steps are 7.1 GB, and 4.0 GB of memory are free",
        "write them to disk as they come, `capture(pipe, folder='run.trace')`, or keep less, "
        "`capture(pipe, branch='cond')`",
    )


def test_memory_is_read_and_a_containers_limit_counts(monkeypatch):
    (cpu, *_) = machine.devices()
    assert 0 < cpu.free <= cpu.memory
    monkeypatch.setattr(room, "_limits", lambda: [(10**9, 4 * 10**8)])
    (cpu, *_) = machine.devices()
    assert (cpu.memory, cpu.free) == (10**9, 6 * 10**8)


# The hub


@pytest.fixture
def endpoint(monkeypatch):
    """Sets HF_ENDPOINT and lets it be asked."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return lambda address: monkeypatch.setenv("HF_ENDPOINT", address)


@pytest.mark.parametrize("status", [200, 404])
def test_a_hub_that_answers_is_reachable(endpoint, status):
    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        endpoint(f"http://127.0.0.1:{server.server_port}")
        assert hub().reachable is True
        thread.join()


def test_a_hub_that_hangs_is_given_up(endpoint, monkeypatch):
    monkeypatch.setattr(hub_module, "SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        endpoint(f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        found = hub()
        assert time.monotonic() - began < 2
    assert found.reachable is False
    assert found.note


@pytest.mark.parametrize("address", ["file:///etc/passwd", "hub", "http://[", "http://127.0.0.1:1"])
def test_an_address_that_is_none_is_out_of_reach(endpoint, address):
    endpoint(address)
    assert hub().reachable is False
    assert hub().note


def test_an_offline_hub_is_not_asked(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_ENDPOINT", "http://nobody.invalid")
    assert hub().reachable is None
    assert hub().offline


def test_the_cache_is_where_the_hub_keeps_models(monkeypatch, tmp_path):
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "not" / "yet"))
    found = hub()
    assert (found.cache, found.writable) == (tmp_path / "not" / "yet" / "hub", True)
    assert found.free > 0
    assert list(hub_obstacles(found)) == []
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "file"))
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "hub")
    (obstacle,) = hub_obstacles(hub())
    assert "not writable" in obstacle.cause

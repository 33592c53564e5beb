"""Captures on a GPU: the picture stays as it is to the bit, and what is kept is what the GPU computed."""

import contextlib
import threading

import pytest
import torch

import attnscope
from attnscope.demo.scenes import scene
from attnscope.recording.observing import observation
from attnscope.recording.planning import keeping
from attnscope.recording.tapping.tap import is_attention
from attnscope.segmentation.segment import segment_trace
from attnscope.testing.tiny_models import tiny_pipeline
from capture_cases import leftovers
from gpu_card import DEVICE, REHEARSAL, TYPES, no_waiting

pytestmark = pytest.mark.gpu
PROMPT = "a red house and a sun over grass"
STEPS = 2 if REHEARSAL else 8
WHERE = ("cpu", "device", "folder", "budget", "folder and budget")


@pytest.fixture(scope="module", params=["bf16", "fp32"] if REHEARSAL else TYPES)
def pipe(request):
    """The demo model on the device, in each type."""
    return demo(DEVICE, TYPES[request.param])


def demo(device, dtype=torch.float32):
    pipe = attnscope.load_pipeline("demo", device=device, dtype=dtype)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def plain(pipe):
    """Its picture without a capture, made twice: only a run that repeats itself can be compared to the bit."""
    first, second = run(pipe), run(pipe)
    assert torch.equal(first, second), "two plain runs differ already"
    return first


def run(pipe, **options):
    """The picture as numbers; the seed is drawn on the CPU, so that it is the same everywhere."""
    side = 64 if REHEARSAL else None
    options = {"height": side, "width": side, "num_inference_steps": STEPS, "guidance_scale": 3.0, **options}
    generator = torch.Generator().manual_seed(0)
    return pipe(PROMPT, generator=generator, output_type="pt", **options).images


def step_bytes(pipe):
    with attnscope.capture(pipe, where="device") as trace:
        run(pipe, num_inference_steps=1)
    return sum(tensor.nbytes for record in records(trace, 0) for tensor in record.tensors.values())


def records(trace, step):
    return [trace.records.get(step, layer) for layer in trace.records.layers]


def options_of(where, pipe, tmp_path):
    folder, budget = tmp_path / "run.trace", 5 * step_bytes(pipe)
    return {
        "cpu": {},
        "device": {"where": "device"},
        "folder": {"where": folder},
        "budget": {"budget": budget},
        "folder and budget": {"where": folder, "budget": budget},
    }[where]


@pytest.mark.parametrize("where", WHERE)
def test_the_picture_is_the_same_to_the_bit(pipe, plain, where, tmp_path):
    with attnscope.capture(pipe, **options_of(where, pipe, tmp_path)) as trace:
        picture = run(pipe)
    assert torch.equal(picture, plain)
    assert len(trace.steps) == STEPS
    assert leftovers(pipe) == []


def test_what_is_kept_is_what_the_gpu_computed_wherever_it_goes(pipe, tmp_path):
    def kept(where):
        with attnscope.capture(pipe, branch="cond", **options_of(where, pipe, tmp_path / where)) as trace:
            run(pipe)
        return trace

    there = kept("device")
    for where in WHERE:
        here = kept(where)
        for step in range(STEPS):
            for expected, got in zip(records(there, step), records(here, step), strict=True):
                assert got.query.device.type == (DEVICE.type if where == "device" else "cpu")
                assert torch.equal(got.query.cpu(), expected.query.cpu())
                assert torch.equal(got.key.cpu(), expected.key.cpu())


@pytest.mark.parametrize("where", ["cpu", "device"])
def test_an_ordinary_layer_waits_for_nothing(pipe, where, monkeypatch):
    """From the second step on, when no layer is checked, torch refuses what would wait inside a layer."""
    monkeypatch.setattr(observation, "_CHECKED_EVERY", 1000)
    layers = [module for module in pipe.unet.modules() if is_attention(module)]
    waits, seen = contextlib.ExitStack(), []

    def forbid(pipe, step, timestep, values):
        for layer in layers if step == 0 else []:
            waits.callback(
                layer.register_forward_pre_hook(lambda *_: guard.enter_context(no_waiting())).remove
            )
            waits.callback(layer.register_forward_hook(lambda *_: (guard.close(), seen.append(1))[0]).remove)
        return values

    guard = contextlib.ExitStack()
    with waits, guard, attnscope.capture(pipe, where=where):
        run(pipe, callback_on_step_end=forbid)
    assert len(seen) == len(layers) * (STEPS - 1)


@pytest.mark.parametrize("value", [False, True])
def test_page_locked_memory_is_a_passage_and_not_a_place(pipe, value):
    """Queued copies have arrived and left it, whatever the GPU is still doing."""
    with attnscope.capture(pipe, value=value) as trace:
        run(pipe)
    for step in range(STEPS):
        for record in records(trace, step):
            for tensor in record.tensors.values():
                assert DEVICE.type == "cpu" or not keeping._is_staged(tensor)
                assert tensor.isfinite().all()


@pytest.mark.parametrize("offload", ["model", "sequential"])
def test_a_pipeline_that_is_offloaded(pipe, plain, offload):
    pytest.importorskip("accelerate")
    if REHEARSAL and offload == "sequential":
        pytest.skip("accelerate can't offload weights from a CPU to the same CPU")
    moved = demo("cpu", pipe.unet.dtype)
    {
        "model": lambda: moved.enable_model_cpu_offload(device=DEVICE),
        "sequential": lambda: moved.enable_sequential_cpu_offload(device=DEVICE),
    }[offload]()
    expected = run(moved)
    with attnscope.capture(moved) as trace:
        picture = run(moved)
    assert torch.equal(picture, expected)
    assert torch.equal(picture.cpu(), plain.cpu())
    assert len(trace.steps) == STEPS
    assert all(record.query.device.type == "cpu" for record in records(trace, 0))
    attnscope.heat_map(trace, "house")


def test_a_capture_in_a_stream_of_its_own(pipe, plain):
    with attnscope.capture(pipe) as trace, stream():
        picture = run(pipe)
    assert torch.equal(picture.cpu(), plain.cpu())
    with attnscope.capture(pipe) as expected:
        run(pipe)
    for got, wanted in zip(records(trace, STEPS - 1), records(expected, STEPS - 1), strict=True):
        assert torch.equal(got.query, wanted.query)


def test_two_pipelines_in_two_streams_and_two_threads(tmp_path):
    """Neither capture holds what belongs to the other, nor copies before it is computed."""
    pipes = [tiny_pipeline(tmp_path / str(number)).to(DEVICE) for number in range(2)]
    prompts = ("a red cat", "the star on grass")

    def captured(number, *, alone):
        with stream() if not alone else contextlib.nullcontext():
            with attnscope.capture(pipes[number]) as trace:
                generator = torch.Generator().manual_seed(number)
                pipes[number](
                    prompts[number], num_inference_steps=6, output_type="latent", generator=generator
                )
        return trace

    expected = [captured(number, alone=True) for number in range(2)]
    found = [None, None]

    def work(number):
        found[number] = captured(number, alone=False)

    threads = [threading.Thread(target=work, args=[number]) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for got, wanted in zip(found, expected, strict=True):
        assert got.prompt() == wanted.prompt()
        for step in range(6):
            for one, other in zip(records(got, step), records(wanted, step), strict=True):
                assert torch.equal(one.query, other.query)
                assert torch.equal(one.key, other.key)


@contextlib.contextmanager
def stream():
    """A stream of its own, which begins when the usual one is done and is waited for."""
    if DEVICE.type == "cpu":
        yield
        return
    own = torch.cuda.Stream()
    own.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(own):
        yield
    own.synchronize()


def test_questions_to_a_trace_on_the_device_and_after_it_was_saved(pipe, tmp_path):
    keep = {"words": attnscope.Reduced("cross"), "scene": attnscope.Reduced("self", per="grid")}
    with attnscope.capture(pipe, where="device", keep=keep) as trace:
        run(pipe)
    saved = attnscope.load_trace(trace.save(tmp_path / "run.trace"))
    for choice in (
        {"block": 1, "kind": "self", "query": (3, 4)},
        {"block": 16, "kind": "cross", "token": "house", "branch": "cond", "step": -1, "mean": "head"},
        {"block": 7, "kind": "self", "head": 3},
        {"block": 1, "kind": "self", "mean": ("step", "head")},
        {"block": 2, "kind": "self", "query": [1, 2, 3], "mean": ("head", "query")},
    ):
        there, here = (each.probabilities(**choice) for each in (trace, saved))
        torch.testing.assert_close(there.cpu(), here, atol=2e-6, rtol=0)
    for how in ({}, {"preset": "daam"}, {"reduced": "words"}):
        there, here = (attnscope.heat_map(each, "house", **how).array for each in (trace, saved))
        assert abs(there - here).max() < 1e-4 * here.max()
    assert (segment_trace(trace).labels == segment_trace(saved).labels).mean() > 0.99
    assert segment_trace(trace, reduced="scene").labels.shape == segment_trace(saved).labels.shape


def test_a_photo_has_the_segments_that_a_cpu_finds():
    picture = scene(3).pil_image
    there, here = (
        attnscope.segment(picture, demo(device), labels=["sky", "sun"]) for device in (DEVICE, "cpu")
    )
    assert (there.labels == here.labels).mean() > 0.99
    assert (there.again(0.3).labels == here.again(0.3).labels).mean() > 0.99

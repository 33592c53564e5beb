"""What people do first, from a prompt to a file: `./dev matrix` runs this with old and new versions of the libraries.

Truths come from elsewhere: hooks on `to_q` and `to_k` in another run and P in float64, drawn scenes with their masks.
"""

import importlib.metadata
import json
import signal
import subprocess
import sys
import urllib.request

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0, SlicedAttnProcessor

import attnscope
from attnscope.cli import main
from attnscope.demo.scenes import scene
from attnscope.demo.scoring import matched_iou
from attnscope.demo.word_scores import word_scores
from capture_cases import leftovers

PROMPT = "a red house and a green tree"
OPTIONS = {"num_inference_steps": 2, "guidance_scale": 3, "height": 64, "width": 128}
COMMANDS = ("demo", "layers", "generate", "heatmap", "segment", "view", "export", "info")


@pytest.fixture(scope="module")
def demo():
    pipe = attnscope.load_pipeline("demo")
    pipe.set_progress_bar_config(disable=True)
    return pipe


def picture(pipe, prompt=PROMPT, **options):
    generator = torch.Generator().manual_seed(0)
    return pipe(prompt, generator=generator, **{**OPTIONS, "output_type": "np", **options}).images


@pytest.fixture(scope="module")
def trace(demo):
    with attnscope.capture(demo) as trace:
        picture(demo, output_type="pil")
    return trace


@pytest.fixture(scope="module")
def truth(demo):
    """P of each attention of another run, by the attention's path: (step, row, head, query, key) in float64."""
    projected, handles = {}, []
    attentions = {n: m for n, m in demo.unet.named_modules() if n.endswith(("attn1", "attn2"))}
    for path, module in attentions.items():
        for name in ("to_q", "to_k"):
            seen = projected.setdefault((path, name), [])
            handles.append(
                getattr(module, name).register_forward_hook(lambda _m, _in, out, seen=seen: seen.append(out))
            )
    picture(demo)
    for handle in handles:
        handle.remove()

    def heads(path, name):
        rows = torch.stack(projected[path, name]).double()
        return rows.unflatten(-1, (attentions[path].heads, -1)).transpose(-2, -3)

    return {
        path: (heads(path, "to_q") @ heads(path, "to_k").mT * module.scale).softmax(-1)
        for path, module in attentions.items()
    }


def test_the_probabilities_are_those_of_another_run_in_float64(trace, truth):
    assert {layer.path for layer in trace.layers} == set(truth)
    assert trace.branches == ("uncond", "cond")
    for layer in trace.layers:
        found = trace.probabilities(layer=layer.path)[:, :, 0]
        assert torch.allclose(found.double(), truth[layer.path], rtol=1e-4, atol=2e-6)  # float32's rounding


@pytest.mark.parametrize(
    "processor", [AttnProcessor2_0(), AttnProcessor(), SlicedAttnProcessor(3)], ids=lambda p: type(p).__name__
)
def test_the_picture_and_the_pipeline_stay_as_they_were(demo, processor):
    before = dict(demo.unet.attn_processors)
    demo.unet.set_attn_processor(processor)
    try:
        plain = picture(demo)
        with attnscope.capture(demo) as seen:
            captured = picture(demo)
        assert np.array_equal(plain, captured)
        assert (len(seen.layers), len(seen.steps)) == (32, 2)
        assert leftovers(demo) == []
    finally:
        demo.unet.set_attn_processor(before)


def test_fused_projections_give_the_same_probabilities(demo, trace):
    demo.unet.fuse_qkv_projections()
    try:
        with attnscope.capture(demo) as fused:
            picture(demo)
    finally:
        demo.unet.unfuse_qkv_projections()
    expected = trace.probabilities(block=16, kind="self", mean="head")
    assert torch.allclose(fused.probabilities(block=16, kind="self", mean="head"), expected, atol=1e-5)


def words(trace, image=0):
    return [span.word for span in trace.words(image)]


def test_words_have_their_tokens_and_their_share(trace, truth):
    assert words(trace) == PROMPT.split()
    tokens = trace.span("house").tokens
    layers = [layer for layer in trace.layers if layer.kind == "cross" and layer.block == 16]
    share = truth[layers[0].path][:, 1][..., list(tokens)].mean((0, 1, 3))
    heat = attnscope.heat_map(trace, "house", blocks=16)
    assert np.allclose(heat.array, share.reshape(heat.array.shape), atol=1e-6)


def test_words_of_a_second_prompt_and_of_the_negative_one_stay_apart(demo):
    with attnscope.capture(demo, kind="cross") as two:
        picture(demo, ["a red house", "a sun"], negative_prompt=["a boat", "grass"])
    assert (two.images, two.branches) == (2, ("uncond", "cond"))
    assert [words(two, image) for image in range(2)] == [["a", "red", "house"], ["a", "sun"]]
    with pytest.raises(attnscope.errors.WordError, match="boat"):
        attnscope.heat_map(two, "boat", image=1)


@pytest.mark.slow
def test_words_point_at_what_they_name_and_segments_are_the_scenes(demo):
    things, overlaps = [], []
    for seed in range(500, 504):
        drawn = scene(seed)
        things += [score.hit for score in word_scores(demo, drawn) if score.kind == "thing"]
        labels = attnscope.segment(drawn.pil_image, demo, thresholds=0.3).labels
        overlaps.append(matched_iou(labels, drawn.segments))
    assert np.mean(things) > 0.9
    assert np.mean(overlaps) > 0.75


def test_a_saved_trace_has_the_same_answers(trace, tmp_path):
    opened = attnscope.load_trace(trace.save(tmp_path / "run.trace"))
    assert opened.words() == trace.words()
    assert opened.run.versions["torch"] == importlib.metadata.version("torch")
    for layer in trace.layers:
        assert torch.equal(
            opened.probabilities(layer=layer.path, mean="head"),
            trace.probabilities(layer=layer.path, mean="head"),
        )


@pytest.mark.parametrize("where", ["folder", "budget", "kept"])
def test_other_ways_to_keep_a_run_give_the_same_map(demo, trace, tmp_path, where):
    ways = {
        "folder": {"folder": tmp_path / "run.trace"},
        "budget": {"budget": "40MB"},
        "kept": {"qk": False, "keep": {"words": attnscope.Reduced("cross")}},
    }
    with attnscope.capture(demo, **ways[where]) as other:
        picture(demo)
    heat = attnscope.heat_map(other, "tree", reduced="words" if where == "kept" else None)
    assert np.allclose(heat.array, attnscope.heat_map(trace, "tree").array, atol=1e-5)


def test_answers_are_arrays_tables_and_figures(trace):
    heat = attnscope.heat_map(trace, "tree")
    assert np.array_equal(np.asarray(heat), heat.array)
    assert np.array(heat, dtype=np.float64, copy=True).dtype == np.float64
    named = trace.probabilities(block=1, kind="cross", branch="cond", image=0, mean="head", named=True)
    assert named.to_xarray().sel(step=0).shape == np.asarray(named).shape[1:]
    assert attnscope.word_table(trace).word.tolist() == words(trace)
    heat.plot()
    segments = attnscope.segment(trace, thresholds=0.5)
    assert np.array_equal(np.asarray(segments), segments.labels)
    segments.plot()


@pytest.mark.slow
def test_the_commands_make_their_files(tmp_path, capsys):
    run = tmp_path / "tree" / "run.trace"
    scene(500).pil_image.save(tmp_path / "scene.png")
    for command in (
        ["layers", "sd1", "--steps", "50", "--diagram", tmp_path / "unet.svg"],
        ["generate", PROMPT, "-n", "2", "--size", "64x128", "-o", tmp_path / "tree"],
        ["heatmap", run, "house", "tree", "-o", tmp_path / "maps"],
        ["segment", tmp_path / "scene.png", "--labels", "sky,grass", "-o", tmp_path / "segments"],
        ["export", run, tmp_path / "page.html"],
    ):
        assert main([str(word) for word in command]) == 0, capsys.readouterr().err
    capsys.readouterr()
    assert main(["info", str(run), "--verify", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["versions"]["torch"] == importlib.metadata.version("torch")
    made = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert made >= {"unet.svg", "house.heat.png", "tree.heat.png", "page.html"}


def test_help_and_wrong_use_of_every_command(capsys):
    for command in COMMANDS:
        assert main([command, "--help"]) == 0
        assert f"attnscope {command}" in capsys.readouterr().out
        assert main([command, "--no-such-option"]) == 2
        assert "no-such-option" in capsys.readouterr().err.lower()


@pytest.mark.slow
def test_the_viewer_answers(trace, tmp_path):
    trace.save(tmp_path / "run.trace")
    command = [sys.executable, "-m", "attnscope", "view", str(tmp_path / "run.trace"), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as viewer:
        address = viewer.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(address + "api/traces") as answer:
            assert json.load(answer)["traces"]
        viewer.send_signal(signal.SIGINT)
        _, err = viewer.communicate(timeout=30)
    assert viewer.returncode == 0
    assert err == "open it in a browser; Ctrl+C ends\n"

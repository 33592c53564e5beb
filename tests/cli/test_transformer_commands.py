"""Commands on folders of transformers, with what their pipelines take by default."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from picture_file import read

import attnscope
from photo_cases import sdxl
from transformer_cases import CASES, PROMPT

pytestmark = [
    pytest.mark.filterwarnings("ignore::attnscope.recording.running.passes.IncompleteCaptureWarning"),
    pytest.mark.filterwarnings("ignore:.*is deprecated:FutureWarning"),  # diffusers' own
    pytest.mark.filterwarnings("ignore:In CPU autocast:UserWarning"),  # of Mochi
]
HEIGHT, WIDTH = 96, 128
COMMON = {"max_sequence_length", "use_resolution_binning", "clean_caption"}
"""Options that change no more than the text's length. A real pipeline needs no others; some tiny ones do, since their
text encoders have fewer layers or can't write."""
NEEDED = {"PRXPipeline": "ftfy", "CosmosTextToWorldPipeline": "cosmos_guardrail"}
PICTURES = [case for case in CASES if case.frames == 1 and {*case.options} <= COMMON]
every_case = pytest.mark.parametrize("case", CASES, ids=str)
every_picture = pytest.mark.parametrize("case", PICTURES, ids=str)
every_video = pytest.mark.parametrize("case", [case for case in CASES if case.frames > 1], ids=str)
BY_FAMILY = {case.family: case for case in CASES}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The folder of a pipeline, once."""
    made = {}

    def saved_of(case):
        if case.name in NEEDED:
            pytest.importorskip(NEEDED[case.name])
        if case.name not in made:
            folder = tmp_path_factory.mktemp(case.name)
            case.make(folder / "files").save_pretrained(folder / "model")
            made[case.name] = folder / "model"
        return made[case.name]

    return saved_of


@pytest.fixture(scope="module")
def made(saved, tmp_path_factory):
    """What `attnscope generate` wrote, two steps."""
    from attnscope.cli import main

    outputs = {}

    def made_of(case):
        if case.name not in outputs:
            output = tmp_path_factory.mktemp(case.name) / "out"
            arguments = [
                "generate",
                PROMPT,
                "-m",
                saved(case),
                "-o",
                output,
                "-n",
                2,
                "--size",
                f"{HEIGHT}x{WIDTH}",
            ]
            assert main([str(argument) for argument in arguments]) == 0
            outputs[case.name] = output
        return outputs[case.name]

    return made_of


@every_picture
def test_generate_writes_the_pipelines_own_picture_its_trace_and_its_words(case, made, saved):
    output = made(case)
    pipe = attnscope.load_pipeline(saved(case), device="cpu")
    pipe.set_progress_bar_config(disable=True)
    size = {"height": HEIGHT, "width": WIDTH, "num_inference_steps": 2}
    exact = {name: value for name, value in case.options.items() if name == "use_resolution_binning"}
    plain = pipe(PROMPT, **size, **exact, generator=torch.Generator().manual_seed(0)).images[0]
    assert np.abs(np.asarray(read(output / "output.png"), int) - np.asarray(plain, int)).max() <= 1
    assert {"cat.png", "star.png"} <= {path.name for path in (output / "words").iterdir()}
    trace = attnscope.load_trace(output)
    assert (trace.run.family, trace.prompt(), len(trace.layers)) == (case.family, PROMPT, case.layers)


@every_picture
def test_info_says_the_family_the_layers_and_the_words(case, made, run):
    code, out, _ = run("info", made(case) / "run.trace")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert code == 0
    assert f"Family {case.family}" in lines
    assert any(line.startswith(f"{HEIGHT // case.place}x{WIDTH // case.place} ") for line in lines)
    facts = json.loads(run("info", made(case) / "run.trace", "--json")[1])
    assert (facts["family"], len(facts["layers"])) == (case.family, case.layers)
    assert {word["word"] for word in facts["words"][0]} >= {"cat", "star"}


@pytest.mark.thorough
@every_picture
def test_heatmap_and_segment_and_export_take_the_trace(case, made, run, tmp_path):
    trace = made(case) / "run.trace"
    assert run("heatmap", trace, "cat", "-o", tmp_path / "cat.png")[0] == 0
    assert read(tmp_path / "cat.png").size == (WIDTH, HEIGHT)
    code, out, err = run("segment", trace, "-o", tmp_path / "segments", "--labels", "cat,star", "--json")
    if not attnscope.load_trace(trace).layers.of_kind("self"):  # linear attention has no probabilities
        assert code == 1
        assert "this trace holds no self-attention" in err
    else:
        assert code == 0, err
        assert json.loads(out)
    code, _, err = run("export", trace, tmp_path / "page.html")
    assert code == 0, err
    assert (tmp_path / "page.html").stat().st_size > 100_000


@pytest.mark.thorough
@pytest.mark.parametrize(
    "case", [case for case in CASES if {*case.options} <= {*COMMON, "num_frames"}], ids=str
)
def test_doctor_tries_every_layer_with_a_run_of_the_pipeline(case, saved, run):
    code, out, err = run("doctor", saved(case), "--json")
    assert code == 0, out + err
    layers = json.loads(out)["model"]["layers"]
    assert len(layers) == case.layers
    assert all(layer["seen"] for layer in layers)


@pytest.mark.thorough
@every_picture
def test_a_size_that_patches_do_not_fit_is_refused_with_what_does(case, saved, run, tmp_path):
    size = f"{HEIGHT + case.place // 2}x{WIDTH}"
    code, _, err = run("generate", PROMPT, "-m", saved(case), "-o", tmp_path / "out", "--size", size, "-n", 1)
    assert code == 2
    assert "expected a multiple of" in err
    step = int(re.search(r"expected a multiple of (\d+)", err)[1])
    asked = ("generate", PROMPT, "-m", saved(case), "-o", tmp_path / "out", "-n", 1)
    assert run(*asked, "--size", f"{2 * step}x{3 * step}")[0] == 0


@every_picture
def test_a_notebook_shows_the_family_and_that_joint_layers_have_parts(case, saved):
    pipe = attnscope.load_pipeline(saved(case), device="cpu")
    with attnscope.capture(pipe) as trace:
        case.run(pipe)
    shown = trace._repr_html_()
    assert f">{case.family}</td>" in shown
    assert ("joint (its parts are self and cross): blocks" in shown) == ("joint" in trace.layers.kinds)
    assert trace.facts()["family"] == case.family


def test_a_photo_is_segmented_with_a_folder_of_a_transformer(saved, photo, run, tmp_path):
    asked = (
        "segment",
        photo,
        "--model",
        saved(BY_FAMILY["sd3"]),
        "-o",
        tmp_path / "s",
        "--labels",
        "cat,star",
    )
    code, out, err = run(*asked, "--json")
    assert code == 0, err
    assert json.loads(out)
    assert (tmp_path / "s" / "photo.labels.png").is_file()


def test_xl_from_a_folder_generates_and_segments(pipe, photo, run, tmp_path):
    sdxl(pipe).save_pretrained(tmp_path / "xl")
    asked = ("generate", PROMPT, "-m", tmp_path / "xl", "-o", tmp_path / "out", "-n", 2, "--size", "128x192")
    assert run(*asked)[0] == 0
    trace = attnscope.load_trace(tmp_path / "out")
    assert (trace.run.family, trace.run.pipeline) == ("sdxl", "StableDiffusionXLPipeline")
    assert trace.run.image_size_hw == (128, 192)
    code, _, err = run(
        "segment", photo, "--model", tmp_path / "xl", "-o", tmp_path / "s", "--labels", "cat,star"
    )
    assert code == 0, err
    assert run("doctor", tmp_path / "xl")[0] == 0


@every_video
def test_a_video_is_refused_with_what_works_instead(case, saved, run, tmp_path):
    code, _, err = run("generate", PROMPT, "-m", saved(case), "-o", tmp_path / "out", "-n", 1)
    assert code == 2
    assert f"{case.name} makes videos, and only pictures can be made here: run it in Python" in err
    assert not (tmp_path / "out").exists()


def test_steps_are_the_pipelines_own_by_default(saved, run, tmp_path):
    folder, size = saved(BY_FAMILY["sd3"]), ("--size", "64x64", "--keep-every", 28)
    assert run("generate", PROMPT, "-m", folder, "-o", tmp_path / "out", *size)[0] == 0
    run_made = attnscope.load_trace(tmp_path / "out").run
    assert (run_made.planned_steps, run_made.guidance_scale) == (28, 7.0)  # of StableDiffusion3Pipeline


def test_a_negative_prompt_that_flux_would_not_read_is_refused_and_read_with_true_guidance(
    saved, run, tmp_path
):
    folder = saved(BY_FAMILY["flux"])
    asked = ("generate", PROMPT, "-m", folder, "-o", tmp_path / "out", "-n", 1, "--size", "64x64")
    code, _, err = run(*asked, "--negative-prompt", "the grass")
    assert code == 2
    assert "FluxPipeline reads it only with --true-cfg-scale above 1, such as 4" in err
    assert run(*asked, "--negative-prompt", "the grass", "--true-cfg-scale", 4)[0] == 0
    trace = attnscope.load_trace(tmp_path / "out")
    assert trace.branches == ("cond", "uncond")
    assert trace.prompt(branch="uncond") == "the grass"


def test_an_option_that_the_pipeline_does_not_take_is_refused_by_name(saved, run, tmp_path):
    folder = saved(BY_FAMILY["sd3"])
    asked = ("generate", PROMPT, "-m", folder, "-o", tmp_path / "out", "--true-cfg-scale", 4)
    code, _, err = run(*asked)
    assert code == 2
    assert "--true-cfg-scale: StableDiffusion3Pipeline does not take true_cfg_scale; leave it out" in err


def test_a_damaged_folder_is_told_by_the_doctor(saved, run, tmp_path):
    folder = shutil.copytree(saved(BY_FAMILY["flux"]), tmp_path / "model")
    (folder / "transformer" / "diffusion_pytorch_model.safetensors").unlink()
    code, out, _ = run("doctor", folder)
    assert code == 1
    assert "transformer holds no weights" in " ".join(out.split())


PLACES, CHANNELS = 4 * 6, 2 * 8
TOKENS = {"sd3": 3 * (77 + 256 + PLACES) + PLACES, "flux": 4 * (512 + PLACES), "chroma": 4 * (512 + PLACES)}
"""Of all layers of a call with one row: three joint ones and a second one, or four joint ones."""


@pytest.mark.thorough
@pytest.mark.parametrize("family", TOKENS)
@pytest.mark.parametrize("extra", [(), ("--keep-branch", "cond"), ("--guidance-scale", 1)], ids=str)
def test_the_size_of_the_trace_is_known_before_the_run(family, extra, saved, run, tmp_path):
    branches = 1 if extra or family == "flux" else 2  # in one call or in two
    expected = 2 * TOKENS[family] * CHANNELS * 4 * branches / 1e9
    folder = saved(BY_FAMILY[family])
    asked = ("generate", PROMPT, "-m", folder, "-o", tmp_path / "out", "-n", 1, "--size", "64x96", *extra)
    code, _, err = run(*asked, "--max-trace-gb", f"{0.99 * expected:.9f}")
    assert code == 2, err
    assert "more than --max-trace-gb" in err
    assert run(*asked, "--max-trace-gb", f"{1.01 * expected:.9f}")[0] == 0

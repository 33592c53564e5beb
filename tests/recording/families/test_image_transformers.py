"""Pipelines of transformers with pictures, control and perturbed attention: rows and what is left out are right."""

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

import attnscope
from attnscope.errors import SelectionError
from attnscope.recording.running.passes import IncompleteCaptureWarning
from attnscope.testing import transformers as tiny
from attnscope.testing.transformers.parts import T5_KEYS, quiet
from transformer_cases import HEIGHT, PROMPT, WIDTH, seen_attention

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8))
SIZED = {"use_resolution_binning": False}
SHORT = {**SIZED, "max_sequence_length": T5_KEYS}
PERTURBED, BOTH, TWO, ONE = (
    [("uncond", "cond", "perturbed")], [("uncond", "cond")], [("cond",), ("uncond",)], [("cond",)],
)  # fmt: skip


def run(pipe, prompt=PROMPT, **changes):
    torch.manual_seed(0)  # a control picture is encoded at random
    options = {
        "height": HEIGHT, "width": WIDTH, "num_inference_steps": 2, "output_type": "np",
        "generator": torch.Generator().manual_seed(0), **changes,
    }  # fmt: skip
    return pipe(prompt, **options).images


def sigma_pag(folder):
    parts = tiny.tiny_pixart_sigma(folder).components
    return diffusers.PixArtSigmaPAGPipeline(**parts, pag_applied_layers=["blocks.1"])


def hunyuan_pag(folder):
    parts = tiny.tiny_hunyuandit(folder).components
    return diffusers.HunyuanDiTPAGPipeline(
        **parts, requires_safety_checker=False, pag_applied_layers=["blocks.1"]
    )


def hunyuan_control(folder):
    parts = tiny.tiny_hunyuandit(folder).components
    config = {**parts["transformer"].config, "transformer_num_layers": 4}
    net = diffusers.HunyuanDiT2DControlNetModel.from_config(config)
    return diffusers.HunyuanDiTControlNetPipeline(
        **parts, requires_safety_checker=False, controlnet=net.eval()
    )


def sana_pag(folder):
    parts = tiny.tiny_sana(folder).components
    return diffusers.SanaPAGPipeline(**parts, pag_applied_layers=["transformer_blocks.1"])


def sprint(folder, kind="SanaSprintPipeline"):
    parts = tiny.tiny_sana(folder, guidance_embeds=True, qk_norm="rms_norm_across_heads").components
    return getattr(diffusers, kind)(**{**parts, "scheduler": diffusers.SCMScheduler()})


def sprint_with_picture(folder):
    return sprint(folder, "SanaSprintImg2ImgPipeline")


def cogview4_control(folder):
    return diffusers.CogView4ControlPipeline(**tiny.tiny_cogview4(folder, in_channels=8).components)


CASES = [
    (sigma_pag, {**SHORT, "clean_caption": False}, PERTURBED),
    (sigma_pag, {**SHORT, "clean_caption": False, "pag_scale": 0.0}, BOTH),
    (hunyuan_pag, SIZED, PERTURBED),
    (hunyuan_control, {**SIZED, "control_image": PICTURE}, BOTH),
    (sana_pag, SHORT, PERTURBED),
    (sprint, {**SHORT, "intermediate_timesteps": 1.3}, ONE),
    (sprint_with_picture, {**SHORT, "intermediate_timesteps": 1.3, "image": PICTURE, "strength": 0.6}, ONE),
    (cogview4_control, {"control_image": PICTURE}, TWO),
]


@pytest.mark.filterwarnings("ignore::attnscope.recording.running.passes.IncompleteCaptureWarning")
@pytest.mark.parametrize(("make", "options", "branches"), CASES)
@pytest.mark.parametrize("copies", [1, 2])
def test_rows_and_words_are_right_and_p_is_what_was_computed(tmp_path, make, options, branches, copies):
    pipe = quiet(make(tmp_path))
    options = {**options, "num_images_per_prompt": copies}
    with seen_attention(pipe.transformer) as seen:
        plain = run(pipe, **options)
    with attnscope.capture(pipe) as trace:
        watched = run(pipe, **options)
    assert np.array_equal(plain, watched)
    expected = [tuple(branch for branch in call for _ in range(copies)) for call in branches]
    assert [tuple(row.branch for row in call.rows) for call in trace.calls] == 2 * expected
    assert [span.word for span in trace.words()] == PROMPT.split()
    for layer in trace.layers:
        rows = [(call.step, row) for call in trace.calls for row in call.rows]
        computed = [row for call in seen[layer.path] for row in call]
        there = rows if len(computed) == len(rows) else [at for at in rows if at[1].branch != "perturbed"]
        for (step, row), truth in zip(there, computed, strict=True):
            p = trace.probabilities(layer=layer, step=step, branch=row.branch, image=row.image)
            torch.testing.assert_close(p.double(), truth, rtol=0, atol=1e-6)


def test_attention_without_a_softmax_is_left_out_and_said(tmp_path):
    pipe = tiny.tiny_sana(tmp_path)
    with pytest.warns(IncompleteCaptureWarning, match="2 attentions are not recorded, since they are linear"):
        with attnscope.capture(pipe) as trace:
            run(pipe, **SHORT)
    assert {layer.kind for layer in trace.layers} == {"cross"}
    with pytest.raises(
        SelectionError, match="no self-attention.*: the model has linear attention of the image"
    ):
        attnscope.segment(trace)
    for choice in ({"kind": "self"}, {"keep": {"scene": attnscope.Reduced("self")}}):
        with pytest.raises(SelectionError, match="have only cross; 2 attentions .* linear attention"):
            with attnscope.capture(pipe, **choice):
                run(pipe, **SHORT)
    with attnscope.capture(pipe, kind="cross") as trace:
        run(pipe, **SHORT)
    assert trace.span("cat").tokens == (3,)


def test_attention_of_the_text_alone_is_left_out_and_said(tmp_path):
    pipe = tiny.tiny_lumina2(tmp_path)
    with pytest.warns(IncompleteCaptureWarning, match="1 attentions .* of the text to itself"):
        with attnscope.capture(pipe) as trace:
            run(pipe)
    assert [layer.path for layer in trace.layers] == [
        "noise_refiner.0.attn",
        "layers.0.attn",
        "layers.1.attn",
    ]
    assert [layer.kind for layer in trace.layers] == ["self", "joint", "joint"]


def test_a_picture_that_is_cut_afterwards_gets_no_misplaced_map(tmp_path):
    pipe = tiny.tiny_pixart_sigma(tmp_path, sample_size=32)
    options = {"height": 128, "width": 640, "max_sequence_length": T5_KEYS, "clean_caption": False}
    with attnscope.capture(pipe, kind="cross", steps=0) as trace:
        made = run(pipe, **options)
    assert (made.shape[1:3], trace.run.latent_size_hw) == ((128, 640), (16, 64))
    with pytest.raises(SelectionError, match="use_resolution_binning=False"):
        attnscope.heat_map(trace, "cat")
    with attnscope.capture(pipe, kind="cross", steps=0) as trace:
        run(pipe, **options, **SIZED)
    assert attnscope.heat_map(trace, "cat").array.shape == (16, 80)

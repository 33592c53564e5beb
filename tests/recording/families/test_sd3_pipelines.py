"""Pipelines of Stable Diffusion 3 and what people put on it: the picture is the same; rows, parts, words are right."""

import diffusers
import numpy as np
import PIL.Image
import pytest
import torch

import attnscope
from attnscope.recording.running.passes import IncompleteCaptureWarning
from attnscope.testing.transformers import tiny_sd3
from attnscope.testing.transformers.parts import T5_KEYS, quiet, tiny_vae
from transformer_cases import HEIGHT, NEGATIVE, OTHER, PROMPT, WIDTH
from watched_runs import branches, watched, words

IMAGE, CLIP, T5 = {"image": 48}, {"text/clip": 77}, {"text/t5": T5_KEYS}
BOTH = [("uncond", "cond")] * 2
PICTURE = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8))
MASK = PIL.Image.fromarray(
    np.random.default_rng(1).integers(0, 2, (HEIGHT, WIDTH), dtype=np.uint8) * np.uint8(255)
)
SINGLE = {"dual_attention_layers": ()}
"""Without the second attention of 3.5 medium, which some of diffusers' processors can't run."""


def sd3(folder, kind="StableDiffusion3Pipeline", more=None, without=(), **changes):
    """A tiny pipeline of some class."""
    parts = tiny_sd3(folder, **changes).components
    parts = {name: part for name, part in parts.items() if part is not None} | dict.fromkeys(without)
    return quiet(getattr(diffusers, kind)(**{**parts, **(more or {})}))


def run(pipe, **changes):
    options = {
        "prompt": PROMPT, "height": HEIGHT, "width": WIDTH, "num_inference_steps": 2, "output_type": "np",
        "max_sequence_length": T5_KEYS, "generator": torch.Generator().manual_seed(0), **changes,
    }  # fmt: skip
    return pipe(**options).images


def assert_texts(trace):
    """Relations of both texts are cut right; 'text' is both together."""
    for layer in trace.layers.of_kind("joint"):
        whole = trace.probabilities(layer=layer, branch="cond", image=0)
        for relation, keys in (
            ("text", slice(48, 137)),
            ("text/clip", slice(48, 125)),
            ("text/t5", slice(125, 137)),
        ):
            p = trace.probabilities(layer=layer, relation=f"image->{relation}", branch="cond", image=0)
            assert torch.equal(p, whole[..., :48, keys])  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("StableDiffusion3Img2ImgPipeline", {"image": PICTURE, "strength": 1.0}),
        ("StableDiffusion3Img2ImgPipeline", {"image": PICTURE, "strength": 1.0, "guidance_scale": 1.0}),
        ("StableDiffusion3InpaintPipeline", {"image": PICTURE, "mask_image": MASK, "strength": 1.0}),
    ],
)
def test_pipelines_with_pictures_keep_rows_parts_and_words(tmp_path, kind, options):
    wide = {"in_channels": 16, "out_channels": 16} if "Inpaint" in kind else {}
    vae = tiny_vae(16, shift_factor=0.0609) if wide else tiny_vae(shift_factor=0.0609)
    pipe = sd3(tmp_path, kind, {"vae": vae}, **wide)
    trace = watched(pipe, lambda: run(pipe, negative_prompt=NEGATIVE, **options))
    assert branches(trace) == ([("cond",)] * 2 if options.get("guidance_scale") == 1.0 else BOTH)
    assert_texts(trace)
    assert words(trace) == PROMPT.split()
    assert trace.span("cat").tokens == (3, 79)


def test_a_control_net_is_not_the_model(tmp_path):
    control = diffusers.SD3ControlNetModel.from_transformer(
        tiny_sd3(tmp_path).transformer, num_layers=1, num_extra_conditioning_channels=0
    )
    pipe = sd3(tmp_path, "StableDiffusion3ControlNetPipeline", {"controlnet": control.eval()})
    trace = watched(pipe, lambda: run(pipe, control_image=PICTURE))
    assert (len(trace.layers), branches(trace)) == (4, BOTH)


@pytest.mark.filterwarnings("ignore::attnscope.recording.running.passes.IncompleteCaptureWarning")
def test_layers_that_guidance_skips_are_gaps_of_its_call(tmp_path):
    pipe = sd3(tmp_path)
    skips = {
        "skip_guidance_layers": [1],
        "num_inference_steps": 3,
        "skip_layer_guidance_start": 0.1,
        "skip_layer_guidance_stop": 0.5,
    }
    skipped = [(f"transformer_blocks.1.{name}", "perturbed") for name in ("attn", "attn2")]
    trace = watched(pipe, lambda: run(pipe, **skips), skipped=skipped)
    assert branches(trace) == [("uncond", "cond"), ("uncond", "cond"), ("perturbed",), ("uncond", "cond")]
    heat = attnscope.heat_map(trace, "cat")
    assert np.isfinite(heat.array).all()
    with pytest.warns(
        IncompleteCaptureWarning, match=r"block 2 joint in steps 1; .*The model itself did not call"
    ):
        with attnscope.capture(pipe):  # fmt: skip
            run(pipe, **skips)


@pytest.mark.parametrize("without", [("text_encoder_3",), ("text_encoder_3", "tokenizer_3")])
def test_tokens_of_no_encoder_are_no_words(tmp_path, without, recwarn):
    """Stable Diffusion 3.5 without T5: that part of the text is zeros."""
    pipe = sd3(tmp_path, without=without)
    trace = watched(pipe, lambda: run(pipe))
    assert_texts(trace)
    assert trace.run.unnamed is None
    assert trace.span("cat").tokens == (3,)
    assert [token.text for token in trace.tokens()[77:79]] == ["[77]", "[78]"]
    assert not [warning for warning in recwarn if "names" in str(warning.message)]


def test_the_third_prompt_is_t5s(tmp_path):
    pipe = sd3(tmp_path)
    trace = watched(pipe, lambda: run(pipe, prompt_3=OTHER))
    assert (trace.prompt(), trace.run.second_prompts) == (PROMPT, [OTHER])
    assert trace.span("cat").tokens == (3,)
    assert trace.run.unnamed is None


def test_one_row_for_each_of_several_images(tmp_path):
    pipe = sd3(tmp_path)
    trace = watched(pipe, lambda: run(pipe, prompt=[PROMPT, OTHER], num_images_per_prompt=2))
    assert [trace.prompt(image) for image in range(4)] == [PROMPT, PROMPT, OTHER, OTHER]


@pytest.mark.parametrize("scale", [5.0, 1.0])
def test_perturbed_attention_is_a_branch_of_its_own(tmp_path, scale):
    """Its rows see each place alone, and the text: they have a mask that the others lack."""
    pipe = sd3(tmp_path, "StableDiffusion3PAGPipeline", {"pag_applied_layers": "blocks.1"}, **SINGLE)
    options = {"guidance_scale": scale, "negative_prompt": NEGATIVE}
    trace = watched(pipe, lambda: run(pipe, **options))
    assert branches(trace) == [(*(("uncond",) if scale > 1 else ()), "cond", "perturbed")] * 2
    for layer in trace.layers:
        of_perturbed, of_cond = (
            trace.probabilities(layer=layer, relation="image->image", branch=branch, image=0, step=0)
            for branch in ("perturbed", "cond")
        )
        off_diagonal = ~torch.eye(48, dtype=torch.bool)
        assert bool((of_perturbed[:, off_diagonal] == 0).all()) == (layer.block == 2)
        assert bool((of_cond[:, off_diagonal] > 0).any())
    assert words(trace) == PROMPT.split()


def test_an_ip_adapters_attention_is_over_the_image_and_its_tokens(tmp_path):
    from diffusers.models.attention_processor import SD3IPAdapterJointAttnProcessor2_0
    from diffusers.models.embeddings import IPAdapterTimeImageProjection

    pipe = sd3(tmp_path)
    torch.manual_seed(0)
    model = pipe.transformer
    sizes = {"hidden_size": 16, "ip_hidden_states_dim": 24, "head_dim": 8, "timesteps_emb_dim": 24}
    model.set_attn_processor(
        {name: SD3IPAdapterJointAttnProcessor2_0(**sizes) for name in model.attn_processors}
    )
    model.image_proj = IPAdapterTimeImageProjection(
        embed_dim=20, output_dim=24, hidden_dim=24, depth=1, dim_head=8, heads=2, num_queries=5, timestep_in_dim=16
    )  # fmt: skip
    picture = torch.randn(2, 6, 20, generator=torch.Generator().manual_seed(1))
    trace = watched(pipe, lambda: run(pipe, ip_adapter_image_embeds=picture))
    kinds = ["joint", "image", "joint", "self2", "image", "image2", "joint", "image"]
    assert sorted(layer.kind for layer in trace.layers) == sorted(kinds)
    assert len({layer.path for layer in trace.layers}) == 4
    for layer in trace.layers:
        if layer.kind.startswith("image"):
            assert [tuple(part) for part in layer.parts] == [("own", 48), ("adapter 1", 5)]
            p = trace.probabilities(layer=layer, relation="image->adapter 1", branch="cond", image=0, step=0)
            whole = trace.probabilities(layer=layer, branch="cond", image=0, step=0)
            assert torch.equal(p, whole[..., 48:])


def test_fused_projections_are_seen(tmp_path):
    pipe = sd3(tmp_path, **SINGLE)
    pipe.transformer.fuse_qkv_projections()
    assert_texts(watched(pipe, lambda: run(pipe)))


def test_a_model_offloaded_by_accelerate_is_seen(tmp_path):
    import accelerate

    pipe = sd3(tmp_path)
    accelerate.cpu_offload(pipe.transformer, torch.device("cpu"))
    with attnscope.capture(pipe) as trace:
        run(pipe, negative_prompt=NEGATIVE)
    assert branches(trace) == BOTH
    assert (words(trace), words(trace, "uncond")) == (PROMPT.split(), NEGATIVE.split())

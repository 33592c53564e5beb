"""Pipelines of Flux and what people put on it: the picture is unchanged, and rows, parts and words are right."""

import diffusers
import numpy as np
import PIL.Image
import pytest
import torch

import attnscope
from attnscope.errors import CaptureError, WordError
from attnscope.testing.transformers import tiny_flux
from attnscope.testing.transformers.parts import LATENT_CHANNELS, T5_KEYS, quiet
from transformer_cases import HEIGHT, NEGATIVE, OTHER, PROMPT, WIDTH
from watched_runs import assert_cut, branches, watched, words

TEXT, IMAGE = {"text": T5_KEYS}, {"image": 48}
GUIDED = {"true_cfg_scale": 3.0, "negative_prompt": NEGATIVE}
ONE, TWO = [("cond",)] * 2, [("cond",), ("uncond",)] * 2
PICTURE = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8))
MASK = PIL.Image.fromarray(
    np.random.default_rng(1).integers(0, 2, (HEIGHT, WIDTH), dtype=np.uint8) * np.uint8(255)
)
PACKED = 4 * LATENT_CHANNELS


def flux(folder, kind="FluxPipeline", more=None, **changes):
    """A tiny pipeline of some class."""
    parts = tiny_flux(folder, **changes).components
    parts = {name: part for name, part in parts.items() if part is not None}
    return quiet(getattr(diffusers, kind)(**parts, **(more or {})))


def run(pipe, **changes):
    options = {
        "prompt": PROMPT, "height": HEIGHT, "width": WIDTH, "num_inference_steps": 2, "output_type": "np",
        "max_sequence_length": T5_KEYS, "generator": torch.Generator().manual_seed(0), **changes,
    }  # fmt: skip
    return pipe(**options).images


PICTURED = {"image": PICTURE, "strength": 1.0}
KONTEXT = {"image": PICTURE, "max_area": HEIGHT * WIDTH, "_auto_resize": False}
FILL = {"in_channels": 2 * PACKED + 256, "out_channels": PACKED}
CONTROL = {"in_channels": 2 * PACKED, "out_channels": PACKED}


@pytest.mark.parametrize(
    ("kind", "options", "changes", "expected"),
    [
        ("FluxImg2ImgPipeline", {**PICTURED, **GUIDED}, {}, TWO),
        ("FluxInpaintPipeline", {**PICTURED, **GUIDED, "mask_image": MASK}, {}, TWO),
        ("FluxFillPipeline", {"image": PICTURE, "mask_image": MASK}, FILL, ONE),
        ("FluxControlPipeline", {"control_image": PICTURE}, CONTROL, ONE),
        ("FluxControlImg2ImgPipeline", {**PICTURED, "control_image": PICTURE}, CONTROL, ONE),
        ("FluxControlInpaintPipeline", {**PICTURED, "control_image": PICTURE, "mask_image": MASK}, CONTROL, ONE),
        ("FluxPipeline", {}, {"guidance_embeds": True}, ONE),
        ("FluxPipeline", GUIDED, {"guidance_embeds": True}, TWO),
    ],
)  # fmt: skip
def test_pipelines_with_pictures_keep_rows_parts_and_words(tmp_path, kind, options, changes, expected):
    pipe = flux(tmp_path, kind, **changes)
    trace = watched(pipe, lambda: run(pipe, **options))
    assert branches(trace) == expected
    assert_cut(trace, TEXT | IMAGE)
    assert words(trace) == PROMPT.split()
    assert trace.run.image_size_hw == (HEIGHT, WIDTH)
    if expected == TWO:
        assert words(trace, "uncond") == NEGATIVE.split()


@pytest.mark.filterwarnings("ignore:`FluxPosEmbed` is deprecated:FutureWarning")  # diffusers' own import
@pytest.mark.parametrize(
    "kind", ["FluxControlNetPipeline", "FluxControlNetImg2ImgPipeline", "FluxControlNetInpaintPipeline"]
)
def test_a_control_net_is_not_the_model(tmp_path, kind):
    torch.manual_seed(0)
    control = diffusers.FluxControlNetModel.from_transformer(
        tiny_flux(tmp_path).transformer,
        num_layers=1,
        num_single_layers=1,
        num_attention_heads=2,
        attention_head_dim=8,
    )
    pipe = flux(tmp_path, kind, {"controlnet": control})
    options = {"control_image": PICTURE} | (GUIDED if kind == "FluxControlNetPipeline" else PICTURED)
    options |= {"mask_image": MASK} if "Inpaint" in kind else {}
    trace = watched(pipe, lambda: run(pipe, **options))
    assert len(trace.layers) == 4
    assert branches(trace) == (TWO if kind == "FluxControlNetPipeline" else ONE)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("FluxKontextPipeline", {}),
        ("FluxKontextInpaintPipeline", {"image_reference": PICTURE, "mask_image": MASK, "strength": 1.0}),
    ],
)
@pytest.mark.parametrize("guided", [{}, GUIDED])
def test_kontexts_picture_is_a_part_of_its_own(tmp_path, kind, options, guided):
    pipe = flux(tmp_path, kind)
    trace = watched(pipe, lambda: run(pipe, **KONTEXT, **options, **guided))
    assert branches(trace) == (TWO if guided else ONE)
    assert {layer.grid for layer in trace.layers} == {(6, 8)}
    assert_cut(trace, TEXT | IMAGE | {"reference": 48})
    assert words(trace) == PROMPT.split()
    assert attnscope.heat_map(trace, "cat").array.shape == trace.run.latent_size_hw


@pytest.mark.parametrize("named", [{}, {"branches": ["cond"]}])
def test_a_grid_of_pictures_is_refused(tmp_path, named):
    """Of VisualCloze: the first of its pictures is an example, and not what is made."""
    pipe = flux(tmp_path, "VisualClozeGenerationPipeline", {"resolution": 96}, **FILL)
    with (
        pytest.raises(CaptureError, match="begin with picture 1.*Capture a FluxPipeline"),
        attnscope.capture(pipe, **named),
    ):
        pipe(
            task_prompt=PROMPT,
            content_prompt=OTHER,
            image=[[PICTURE, PICTURE], [PICTURE, None]],
            num_inference_steps=1,
            max_sequence_length=T5_KEYS,
            generator=torch.Generator().manual_seed(0),
        )


def test_kontext_without_a_picture_has_no_reference(tmp_path):
    pipe = flux(tmp_path, "FluxKontextPipeline")
    trace = watched(pipe, lambda: run(pipe, max_area=HEIGHT * WIDTH))
    assert_cut(trace, TEXT | IMAGE)


def test_equal_texts_of_two_calls_are_told_by_their_order(tmp_path):
    pipe = flux(tmp_path)
    trace = watched(pipe, lambda: run(pipe, true_cfg_scale=3.0, negative_prompt=PROMPT))
    assert branches(trace) == TWO
    assert trace.prompt(branch="uncond") == PROMPT


def test_embeddings_in_place_of_prompts_have_rows_and_told_words(tmp_path):
    pipe = flux(tmp_path)
    encoded, negative = (
        pipe.encode_prompt(text, None, max_sequence_length=T5_KEYS) for text in (PROMPT, NEGATIVE)
    )
    given = {
        "prompt": None, "prompt_embeds": encoded[0], "pooled_prompt_embeds": encoded[1], "true_cfg_scale": 3.0,
        "negative_prompt_embeds": negative[0], "negative_pooled_prompt_embeds": negative[1],
    }  # fmt: skip
    trace = watched(pipe, lambda: run(pipe, **given))
    assert (branches(trace), words(trace)) == (TWO, [])
    with attnscope.capture(pipe, prompt=PROMPT, negative_prompt=NEGATIVE) as told:
        run(pipe, **given)
    assert (words(told), words(told, "uncond")) == (PROMPT.split(), NEGATIVE.split())


def test_the_words_are_those_that_t5_reads(tmp_path):
    pipe = flux(tmp_path)
    trace = watched(pipe, lambda: run(pipe, prompt_2=OTHER))
    assert words(trace) == OTHER.split()
    with pytest.raises(WordError):
        trace.span("cat")


def test_tokens_of_a_picture_beside_the_text_are_no_words(tmp_path):
    """Redux gives the pipeline embeddings of a text with those of a picture behind them."""
    pipe = flux(tmp_path)
    text, pooled, _ = pipe.encode_prompt(PROMPT, None, max_sequence_length=T5_KEYS)
    picture = torch.randn(1, 9, text.shape[-1], generator=torch.Generator().manual_seed(0))
    given = {
        "prompt": None,
        "prompt_embeds": torch.cat([text, picture], 1),
        "pooled_prompt_embeds": pooled,
    }
    trace = watched(pipe, lambda: run(pipe, **given))
    assert_cut(trace, {"text": T5_KEYS + 9} | IMAGE)
    assert words(trace) == []
    with (
        pytest.warns(UserWarning, match=r"embeddings have 21 tokens and T5Tokenizer makes 12: .*\(Redux\)"),
        attnscope.capture(pipe, prompt=PROMPT) as told,
    ):
        run(pipe, **given)
    assert words(told) == []


def with_adapters(pipe, adapters):
    """Random IP-Adapters on the double blocks, as `load_ip_adapter` puts them there."""
    from diffusers.models.embeddings import ImageProjection, MultiIPAdapterImageProjection
    from diffusers.models.transformers.transformer_flux import FluxAttnProcessor, FluxIPAdapterAttnProcessor

    torch.manual_seed(0)
    model = pipe.transformer
    model.set_attn_processor(
        {
            name: FluxIPAdapterAttnProcessor(16, 24, num_tokens=(4,) * adapters, scale=[0.7] * adapters)
            if name.startswith("transformer_blocks")
            else FluxAttnProcessor()
            for name in model.attn_processors
        }
    )
    projections = [ImageProjection(20, 24, num_image_text_embeds=4) for _ in range(adapters)]
    model.encoder_hid_proj = MultiIPAdapterImageProjection(projections)
    return pipe


@pytest.mark.parametrize("adapters", [1, 2])
@pytest.mark.parametrize("guided", [{}, GUIDED])
def test_ip_adapters_are_layers_of_the_double_blocks(tmp_path, adapters, guided):
    pipe = with_adapters(flux(tmp_path), adapters)
    made = torch.Generator().manual_seed(1)
    pictures = {
        name: [torch.randn(1, 1, 20, generator=made) for _ in range(adapters)]
        for name in ("ip_adapter_image_embeds", "negative_ip_adapter_image_embeds")
    }
    trace = watched(pipe, lambda: run(pipe, **pictures, **guided))
    assert branches(trace) == (TWO if guided else ONE)
    assert_cut(trace, TEXT | IMAGE)
    kinds = ["image", "image2"][:adapters]
    of_adapters = [layer for layer in trace.layers if layer.kind != "joint"]
    assert [(layer.block, layer.kind) for layer in of_adapters] == [
        (block, kind) for block in (1, 2) for kind in kinds
    ]
    assert {(layer.grid, layer.keys) for layer in of_adapters} == {((6, 8), 4)}


def test_fused_projections_are_seen(tmp_path):
    pipe = flux(tmp_path)
    pipe.transformer.fuse_qkv_projections()
    assert_cut(watched(pipe, lambda: run(pipe)), TEXT | IMAGE)


def test_a_model_offloaded_by_accelerate_is_seen(tmp_path):
    import accelerate

    pipe = flux(tmp_path)
    accelerate.cpu_offload(pipe.transformer, torch.device("cpu"))
    with attnscope.capture(pipe) as trace:
        run(pipe, **GUIDED)
    assert branches(trace) == TWO
    assert words(trace) == PROMPT.split()


def test_two_sizes_of_one_run_are_two_passes(tmp_path):
    pipe = flux(tmp_path)
    with attnscope.capture(pipe) as trace:
        run(pipe)
        run(pipe, height=WIDTH, width=HEIGHT)
    assert [each.layers[0].grid for each in trace.passes] == [(6, 8), (8, 6)]

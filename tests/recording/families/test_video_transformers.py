"""Video transformers: pictures as conditions, padding, two models in one pipeline, and which frame a picture is of."""

import warnings

import diffusers
import numpy as np
import pytest
import torch
from diffusers.models import attention_processor
from PIL import Image

import attnscope
from attnscope.errors import CaptureError
from attnscope.recording.calling.picture_size import frames_shown
from attnscope.recording.running.passes import IncompleteCaptureWarning
from attnscope.testing import transformers as tiny
from attnscope.testing.transformers.parts import T5_KEYS, quiet
from transformer_cases import CASES, HEIGHT, OTHER, PROMPT, WIDTH, seen_attention, without_ftfy

pytestmark = [
    pytest.mark.filterwarnings("ignore:In CPU autocast:UserWarning"),  # Mochi's positions
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # diffusers with Pillow
]

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8))
PLACES = (HEIGHT // 16) * (WIDTH // 16)
ONE, TWO, BOTH = [("cond",)], [("cond",), ("uncond",)], [("uncond", "cond")]
SHORT = {"max_sequence_length": T5_KEYS}
HUNYUAN = {
    "prompt_template": {"template": "the star: {} on the grass", "crop_start": 1}, "max_sequence_length": 24,
}  # fmt: skip


def run(pipe, prompt=PROMPT, **changes):
    options = {
        "height": HEIGHT, "width": WIDTH, "num_frames": 9, "num_inference_steps": 2, "output_type": "np",
        "generator": torch.Generator().manual_seed(0), **SHORT, **changes,
    }  # fmt: skip
    options = {name: value for name, value in options.items() if value is not None}
    return pipe(prompt=prompt, **options).frames


def ltx_with_picture(folder):
    return diffusers.LTXImageToVideoPipeline(**tiny.tiny_ltx(folder).components)


def cogvideox_with_picture(folder):
    parts = tiny.tiny_cogvideox(folder, in_channels=8).components
    return diffusers.CogVideoXImageToVideoPipeline(**parts)


def cogvideox_with_video(folder):
    return diffusers.CogVideoXVideoToVideoPipeline(**tiny.tiny_cogvideox(folder).components)


def cogvideox_controlled(folder):
    parts = tiny.tiny_cogvideox(folder, in_channels=8).components
    return diffusers.CogVideoXFunControlPipeline(**parts)


def wan_with_video(folder):
    without_ftfy("wan.pipeline_wan_video2video")
    parts = tiny.tiny_wan(folder).components
    return diffusers.WanVideoToVideoPipeline(
        **{name: parts[name] for name in ("tokenizer", "text_encoder", "transformer", "vae")},
        scheduler=diffusers.UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True),
    )


def hunyuan_with_picture(folder):
    parts = tiny.tiny_hunyuanvideo(folder, in_channels=8).components
    return diffusers.HunyuanSkyreelsImageToVideoPipeline(**parts)


def skyreels_with_picture(folder):
    without_ftfy("skyreels_v2.pipeline_skyreels_v2_i2v")
    parts = tiny.tiny_wan_with_picture(folder).components
    model = tiny.tiny_skyreels2(folder, in_channels=12, image_dim=8, added_kv_proj_dim=32).transformer
    names = ("tokenizer", "text_encoder", "vae", "scheduler", "image_encoder", "image_processor")
    return diffusers.SkyReelsV2ImageToVideoPipeline(
        transformer=model, **{name: parts[name] for name in names}
    )


def cosmos_with_picture(folder):
    return diffusers.CosmosVideoToWorldPipeline(**tiny.tiny_cosmos(folder, in_channels=5).components)


def cosmos2(folder, kind="Cosmos2TextToImagePipeline", **changes):
    parts = tiny.tiny_cosmos(folder, **changes).components
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(use_karras_sigmas=True)
    vae = tiny.tiny_wan(folder).vae
    return getattr(diffusers, kind)(**{**parts, "scheduler": scheduler, "vae": vae})


def cosmos2_with_picture(folder):
    return cosmos2(folder, "Cosmos2VideoToWorldPipeline", in_channels=5)


VIDEO = [PICTURE] * 9
PIPELINES = [
    (ltx_with_picture, {"image": PICTURE}, BOTH),
    (cogvideox_with_picture, {"image": PICTURE}, BOTH),
    (cogvideox_with_video, {"video": VIDEO, "num_frames": None, "num_inference_steps": 3}, BOTH),
    (cogvideox_controlled, {"control_video": VIDEO, "num_frames": None}, BOTH),
    (wan_with_video, {"video": VIDEO, "num_frames": None, "num_inference_steps": 3}, TWO),
    (skyreels_with_picture, {"image": PICTURE, "max_sequence_length": 512}, TWO),
    (cosmos_with_picture, {"image": PICTURE, "num_frames": 17}, TWO),
    (cosmos2_with_picture, {"image": PICTURE}, TWO),
    (hunyuan_with_picture, {"image": PICTURE, **HUNYUAN}, ONE),
    (hunyuan_with_picture, {"image": PICTURE, "negative_prompt": "the grass", **HUNYUAN}, TWO),
]


@pytest.mark.filterwarnings("ignore::attnscope.recording.running.passes.IncompleteCaptureWarning")
@pytest.mark.parametrize(("make", "options", "branches"), PIPELINES)
def test_other_pipelines_of_the_families_are_recorded_as_they_compute(make, options, branches, tmp_path):
    pipe = quiet(make(tmp_path))
    with seen_attention(pipe.transformer) as seen:
        plain = run(pipe, **options)
    with attnscope.capture(pipe) as trace:
        watched = run(pipe, **options)
    assert np.array_equal(plain, watched)
    assert [tuple(row.branch for row in call.rows) for call in trace.calls] == 2 * branches
    assert (trace.run.frames, trace.run.image_size_hw) == (3, (HEIGHT, WIDTH))
    assert trace.span("cat").word == "cat"
    for layer in trace.layers:
        truth = torch.cat([p for p in seen[layer.path] if p.shape[-1] == layer.keys])
        ours = trace.probabilities(layer=layer).flatten(0, 2).double()
        torch.testing.assert_close(ours, truth, rtol=2e-6, atol=1e-6)


def test_pictures_of_a_video_model_are_recorded(tmp_path):
    pipe = quiet(cosmos2(tmp_path))
    options = {"height": HEIGHT, "width": WIDTH, "num_inference_steps": 2, "output_type": "pil", **SHORT}
    with attnscope.capture(pipe) as trace:
        made = pipe(PROMPT, **options).images
    assert (trace.run.frames, trace.images) == (1, 1)
    assert [picture.tobytes() for picture in trace.run.pictures] == [picture.tobytes() for picture in made]
    assert attnscope.heat_map(trace, "cat").array.shape == attnscope.heat_map(trace, "star").array.shape


MASKED = [case for case in CASES if case.family in ("ltx", "allegro", "mochi")]


@pytest.mark.parametrize("case", MASKED, ids=str)
def test_padding_gets_nothing(case, tmp_path):
    pipe = case.make(tmp_path)
    with attnscope.capture(pipe, branch="cond") as trace:
        case.run(pipe)
    for layer in trace.layers:
        if layer.reads_text:
            to_text = trace.probabilities(layer=layer.path, relation="image->text", mean="head")
            assert torch.all(to_text[..., 7:] == 0)  # six words and the end
            assert torch.all(to_text[..., :7].sum((-1, -2)) > 0)


class TwoMoreKeys(attention_processor.MochiAttnProcessor2_0):
    """Looks at the first two keys twice."""

    def __call__(self, attn, *args, **kwargs):
        original = torch.nn.functional.scaled_dot_product_attention

        def with_more(query, key, value, **others):
            key, value = (torch.cat([tensor, tensor[:, :, :2]], 2) for tensor in (key, value))
            return original(query, key, value, **others)

        torch.nn.functional.scaled_dot_product_attention = with_more
        try:
            return super().__call__(attn, *args, **kwargs)
        finally:
            torch.nn.functional.scaled_dot_product_attention = original


def test_keys_from_elsewhere_in_rows_of_different_lengths_are_refused(tmp_path):
    pipe = tiny.tiny_mochi(tmp_path)
    pipe.transformer.transformer_blocks[0].attn1.processor = TwoMoreKeys()
    with pytest.raises(CaptureError, match="its processor adds or leaves out some"), attnscope.capture(pipe):
        run(pipe, num_frames=13)


@pytest.fixture(scope="module")
def with_picture(tmp_path_factory):
    """A Wan that gets a picture, its trace, and P by a run of its own."""
    without_ftfy("wan.pipeline_wan_i2v")
    pipe = tiny.tiny_wan_with_picture(tmp_path_factory.mktemp("wan"))
    options = {"image": PICTURE, "max_sequence_length": 512}
    with seen_attention(pipe.transformer) as seen:
        plain = run(pipe, **options)
    with attnscope.capture(pipe) as trace:
        watched = run(pipe, **options)
    assert np.array_equal(plain, watched)
    return pipe, trace, seen


def test_a_picture_has_a_softmax_beside_the_text(with_picture):
    _, trace, seen = with_picture
    assert [(layer.block, layer.kind) for layer in trace.layers] == [
        (block, kind) for block in (1, 2) for kind in ("self", "cross", "image")
    ]
    for block in (1, 2):
        of_picture, of_text = (seen[f"blocks.{block - 1}.attn2"][which::2] for which in (0, 1))
        for kind, truth in (("image", of_picture), ("cross", of_text)):
            layer = next(layer for layer in trace.layers if (layer.block, layer.kind) == (block, kind))
            ours = trace.probabilities(layer=layer).flatten(0, 2).double()
            torch.testing.assert_close(ours, torch.cat(truth), rtol=2e-6, atol=1e-6)
    assert trace.span("cat").tokens == (2,)


def test_a_frame_is_asked_for_what_it_sees_of_the_picture(with_picture):
    _, trace, seen = with_picture
    whole = torch.stack(seen["blocks.0.attn2"][::2]).reshape(
        2, 2, 2, 3, PLACES, -1
    )  # step, branch, head, frame
    for frame in range(3):
        ours = trace.probabilities(block=1, kind="image", image=frame).double()
        torch.testing.assert_close(ours, whole[:, :, :, frame], rtol=0, atol=1e-6)
    heat = attnscope.heat_map(trace, 3, kind="image", image=2, blocks=[1]).array
    truth = whole[:, 0, :, 2, :, 3].mean((0, 1)).reshape(1, 1, HEIGHT // 16, WIDTH // 16).float()
    resized = torch.nn.functional.interpolate(truth, heat.shape, mode="bilinear", align_corners=False)
    np.testing.assert_allclose(heat, resized[0, 0], rtol=0, atol=1e-6)
    assert [part.name for part in trace.layers_of_kind("image")[0].parts] == ["picture"]


def test_a_text_that_the_model_would_cut_elsewhere_is_refused_with_what_helps(with_picture):
    pipe, _, _ = with_picture
    with (
        pytest.raises(CaptureError, match="the text has 226.*use max_sequence_length=512"),
        attnscope.capture(pipe),
    ):
        run(pipe, image=PICTURE, max_sequence_length=226)


@pytest.fixture
def of_two(tmp_path):
    """A Wan with another model for all steps but the first."""
    return tiny.tiny_wan_of_two(tmp_path)


def test_a_pipeline_of_two_models_has_a_pass_for_each(of_two):
    with seen_attention(of_two.transformer) as first, seen_attention(of_two.transformer_2) as last:
        run(of_two, num_inference_steps=4)
    with warnings.catch_warnings(), attnscope.capture(of_two) as trace:
        warnings.simplefilter("error")
        run(of_two, num_inference_steps=4)
    assert [[step.index for step in kept.steps] for kept in trace.passes] == [[0], [1, 2, 3]]
    for kept, seen in zip(trace.passes, (first, last), strict=True):
        assert kept.span("cat").tokens == (2,)
        for layer in kept.layers:
            ours = kept.probabilities(layer=layer).flatten(0, 2).double()
            torch.testing.assert_close(ours, torch.cat(seen[layer.path]), rtol=0, atol=1e-6)


def test_one_of_two_models_says_which_steps_it_does_not_have(of_two):
    said = "steps 1 to 3 never came: the pipeline takes them with another model, its transformer_2"
    with pytest.warns(IncompleteCaptureWarning, match=said), attnscope.capture(of_two.transformer):
        run(of_two, num_inference_steps=4)
    with (
        pytest.warns(IncompleteCaptureWarning, match="steps 0 never"),
        attnscope.capture(of_two.transformer_2),
    ):
        run(of_two, num_inference_steps=4)


def test_the_second_model_is_found_where_there_is_no_first(of_two):
    parts = {**of_two.components, "transformer": None}
    pipe = quiet(diffusers.WanPipeline(**parts, boundary_ratio=2.0))
    with attnscope.capture(pipe) as trace:
        run(pipe)
    assert [step.index for step in trace.steps] == [0, 1]


def test_attention_to_text_and_pictures_in_one_module_is_refused_by_name(tmp_path):
    model = tiny.tiny_cosmos(tmp_path).transformer
    text = torch.zeros(1, 4, model.config.text_embed_dim)
    with (
        pytest.raises(CaptureError, match="conditioned on text alone"),
        attnscope.capture(model, branches=["cond"]),
    ):
        model(torch.zeros(1, 4, 1, 4, 4), torch.ones(1), (text, text))


def test_conditions_that_are_frames_are_refused_by_name(tmp_path):
    pipe = quiet(diffusers.LTXConditionPipeline(**tiny.tiny_ltx(tmp_path).components))
    with (
        pytest.raises(CaptureError, match="use LTXPipeline or LTXImageToVideoPipeline"),
        attnscope.capture(pipe),
    ):
        run(pipe, image=PICTURE)


def test_the_text_refiner_is_left_out_by_name(tmp_path):
    pipe = tiny.tiny_hunyuanvideo(tmp_path)
    said = "1 attentions are not recorded, since they are attention of the text to itself, before the video$"
    with pytest.warns(IncompleteCaptureWarning, match=said), attnscope.capture(pipe):
        run(pipe, **HUNYUAN)


@pytest.mark.parametrize(
    ("of_one", "latent", "video", "shown"),
    [
        (4, 3, 9, [0, 2, 6]),  # the first one stands for frame 0, the others for 1 to 4 and 5 to 8
        (8, 2, 9, [0, 4]),
        (4, 3, 12, [1, 5, 9]),
        (1, 3, 3, [0, 1, 2]),
        (4, 1, 1, [0]),
        (4, 2, 9, []),
    ],
)
def test_the_frame_shown_is_in_the_middle_of_those_that_a_latent_frame_stands_for(
    of_one, latent, video, shown
):
    class Pipeline:
        vae_scale_factor_temporal = of_one

    assert frames_shown(Pipeline(), latent, video) == shown


def test_the_pictures_are_the_frames_that_are_shown(tmp_path):
    pipe = tiny.tiny_wan(tmp_path)
    with attnscope.capture(pipe, kind="cross") as trace:
        videos = run(pipe, [PROMPT, OTHER], output_type="pil")
    expected = [video[frame] for video in videos for frame in (0, 2, 6)]
    assert [picture.tobytes() for picture in trace.run.pictures] == [frame.tobytes() for frame in expected]
    assert (trace.images, trace.run.image_size_hw) == (6, (HEIGHT, WIDTH))
    with attnscope.capture(pipe, kind="cross") as trace:
        run(pipe, output_type="latent")
    assert trace.run.pictures == []

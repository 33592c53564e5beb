import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import attnscope
from attnscope import demo
from attnscope.demo.architecture import untrained_pipeline
from attnscope.diffseg import aggregate, merge, segment_map
from attnscope.errors import (
    ImageError,
    KeywordError,
    ModelError,
    OutputError,
    ParameterError,
    SelectionError,
    WordError,
)
from attnscope.pictures.overlays import segment_colours
from attnscope.pictures.regions import rle_mask
from attnscope.segmentation import photo as photo_pass
from attnscope.segmentation.methods.diffseg import recommended_threshold
from attnscope.segmentation.segment import segment, segment_many, segment_trace
from attnscope.segmentation.words import asked_words, groups_that_fit, named_spans
from attnscope.testing.made_traces import made_trace
from attnscope.trace.tokens import tokenize

TAU = 0.42  # gives the random attention below a dozen segments


@pytest.fixture(scope="module")
def pipe():
    """Random weights with sharpened attention, seen at 128 pixels a side."""
    pipe = untrained_pipeline(seed=1)
    pipe.set_progress_bar_config(disable=True)
    pipe.unet.register_to_config(sample_size=16)
    with torch.no_grad():
        for name, weight in pipe.unet.named_parameters():
            if name.endswith(("to_q.weight", "to_k.weight")):
                weight *= 3
    return pipe


@pytest.fixture(scope="module")
def photo():
    """Bands and a disc on a picture that is wider than high."""
    y, x = np.mgrid[:90, :140]
    pixels = np.zeros((90, 140, 3), np.uint8)
    pixels[:45], pixels[45:] = (90, 150, 220), (70, 140, 60)
    pixels[(y - 45) ** 2 + (x - 40) ** 2 < 600] = (220, 60, 50)
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def found(pipe, photo):
    return segment(photo, pipe, thresholds=TAU, labels=["sky", "grass", "sun"], unite=False, weak=0)


@pytest.fixture(scope="module")
def trace(pipe):
    with attnscope.capture(pipe) as trace:
        pipe("a red sun over grass", num_inference_steps=2, height=64, width=128)
    return trace


def test_labels_have_the_photos_size_and_no_gaps(found, photo):
    assert found.labels.shape == (90, 140)
    assert np.issubdtype(found.labels.dtype, np.integer)
    assert np.unique(found.labels).tolist() == list(range(len(found)))
    assert len(found) > 1
    assert found.picture.size == photo.size


def test_aspect_ratio_is_kept_by_default(found):
    assert found.origin["input_size"] == {"height": 128, "width": 192}
    assert found.aggregated.shape == (16, 24, 16, 24)


def test_steps_of_the_paper_give_the_same_labels(pipe, photo, found):
    pixels = photo_pass.photo_tensor(photo, (128, 192))
    latent = photo_pass.photo_latent(pipe, pixels)
    trace = photo_pass.photo_trace(pipe, latent, "", timestep=300, kind="self")
    aggregated = aggregate(
        (
            trace.probabilities(block=layer.block, kind="self", step=0, image=0, branch="cond").mean(0),
            tuple(layer.grid),
        )
        for layer in trace.layers
    )
    torch.testing.assert_close(found.aggregated, aggregated, rtol=1e-5, atol=1e-9)
    labels = segment_map(merge(aggregated, [TAU] * 3), (90, 140)).unique(return_inverse=True)[1]
    assert (labels.numpy() == found.labels).mean() > 0.999  # head means in tiles round differently


def test_latent_is_the_scaled_and_shifted_mode(pipe, photo):
    pixels = photo_pass.photo_tensor(photo, (64, 64))
    plain = photo_pass.photo_latent(pipe, pixels)
    with torch.no_grad():
        torch.testing.assert_close(plain, pipe.vae.encode(pixels).latent_dist.mean)
    before = dict(pipe.vae.config)
    try:
        pipe.vae.register_to_config(scaling_factor=0.5, shift_factor=0.25)
        torch.testing.assert_close(photo_pass.photo_latent(pipe, pixels), (plain - 0.25) * 0.5)
    finally:
        pipe.vae.register_to_config(
            scaling_factor=before["scaling_factor"], shift_factor=before["shift_factor"]
        )


def test_the_same_photo_gives_the_same_labels_and_leaves_the_pipeline_alone(pipe, photo, found):
    before = {name: weight.clone() for name, weight in pipe.unet.state_dict().items()}
    processors = list(pipe.unet.attn_processors.values())
    steps = pipe.scheduler.timesteps.clone()
    random = torch.get_rng_state()
    again = segment(photo, pipe, thresholds=TAU, labels=["sky", "grass", "sun"], unite=False, weak=0)
    assert np.array_equal(again.labels, found.labels)
    assert again.names == found.names
    assert all(torch.equal(weight, before[name]) for name, weight in pipe.unet.state_dict().items())
    assert list(pipe.unet.attn_processors.values()) == processors
    assert torch.equal(pipe.scheduler.timesteps, steps)
    assert torch.equal(torch.get_rng_state(), random)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in pipe.unet.modules())


def test_crop_takes_the_middle_square_at_the_models_size(pipe, photo):
    cropped = segment(photo, pipe, thresholds=TAU, crop=True)
    assert cropped.labels.shape == (90, 90)
    assert cropped.origin["crop"]
    assert cropped.aggregated.shape == (16, 16, 16, 16)
    assert np.array_equal(np.asarray(cropped.picture), np.asarray(photo)[:, 25:115])


def test_exif_orientation_turns_labels_with_the_photo(pipe, photo, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = photo.transpose(Image.Transpose.ROTATE_90)  # as a camera held upright stores it
    turned.save(tmp_path / "phone.png", exif=exif)
    upright = segment(photo, pipe, thresholds=TAU)
    assert np.array_equal(segment(tmp_path / "phone.png", pipe, thresholds=TAU).labels, upright.labels)


def test_noise_is_off_by_default_and_seeded(pipe, photo, found):
    noisy, same = (segment(photo, pipe, thresholds=TAU, noise_seed=5) for _ in range(2))
    assert torch.equal(noisy.aggregated, same.aggregated)
    assert not torch.equal(noisy.aggregated, found.aggregated)
    assert noisy.origin["noise_seed"] == 5


def test_timestep_reaches_the_model(pipe, photo, found):
    assert not torch.equal(segment(photo, pipe, thresholds=TAU, timestep=1).aggregated, found.aggregated)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_models_segment(photo, dtype):
    pipe = untrained_pipeline(seed=2).to(dtype)
    pipe.unet.register_to_config(sample_size=8)
    found = segment(photo, pipe, labels=["sky", "grass"])
    assert found.aggregated.dtype == torch.float32
    assert next(pipe.unet.parameters()).dtype == dtype


def test_reference_preset_crops_and_takes_one_pass(pipe, photo, monkeypatch):
    calls, passing = [], photo_pass.photo_trace
    monkeypatch.setattr(
        photo_pass,
        "photo_trace",
        lambda *args, **kwargs: calls.append((args[2], kwargs["kind"])) or passing(*args, **kwargs),
    )
    found = segment(photo, pipe, thresholds=TAU, labels=["sky", "grass"], preset="reference")
    assert calls == [("sky grass", None)]
    assert found.labels.shape == (90, 90)
    assert found.recipe.preset == "reference"
    calls.clear()
    segment(photo, pipe, thresholds=TAU, labels=["sky", "grass"])
    assert calls == [("", "self"), ("sky, grass", "cross")]


def test_labels_do_not_move_segments(pipe, photo, found):
    assert np.array_equal(segment(photo, pipe, thresholds=TAU).labels, found.labels)


def test_segments_of_one_word_are_united_by_default(pipe, photo, found):
    united = segment(photo, pipe, thresholds=TAU, labels=["sky", "grass", "sun"], weak=0)
    assert len(set(united.names)) == len(united.names) == len(united)
    assert set(united.names) == set(found.names)
    for name in united.names:
        assert np.array_equal(united.mask(name), found.mask(name))


def test_a_word_that_fits_weakly_names_no_segment_and_scores_are_shown(pipe, photo, found):
    assert None not in found.names
    strict = segment(photo, pipe, thresholds=TAU, unite=False, labels=["sky", "grass", "sun"])
    maps = strict.evidence.word_maps.double().numpy()
    at_maps = np.asarray(strict.label_image().resize(maps.shape[:0:-1], Image.Resampling.NEAREST))
    inside = np.stack([maps[:, at_maps == number].mean(1) for number in range(len(strict))])
    scores = inside / maps.mean((1, 2))
    assert np.allclose(strict.scores, scores, rtol=0.05)  # PIL's nearest is half a pixel off torch's
    best = [strict.evidence.words.index(name) for name in found.names]
    expected = [found.names[n] if strict.scores[n, at] >= 1 else None for n, at in enumerate(best)]
    assert list(strict.names) == expected
    assert None in expected
    assert any(expected)
    described = strict.to_dict()["segments"]
    assert [entry["label"] for entry in described] == expected
    assert list(described[0]["scores"]) == ["sky", "grass", "sun"]
    assert segment(photo, pipe, thresholds=TAU, unite=False, labels="sky,grass,sun", weak=1e6).names == (
        None,
    ) * len(strict)
    with pytest.raises(ParameterError, match="weak is -1; expected the least score of a name"):
        segment(photo, pipe, weak=-1)


def test_one_word_for_one_segment_is_its_name(pipe, photo):
    alone = segment(photo, pipe, thresholds=10.0, labels="grass")
    assert alone.names == ("grass",)
    assert alone.scores == pytest.approx(1.0)


def test_labels_are_split_like_the_command_lines_and_each_is_one():
    assert asked_words("boat, sea,") == ("boat", "sea")
    assert asked_words(["tree", "TREE ", "Tree", "cafe\u0301", "CAFÉ", "cafe"]) == (
        "tree",
        "cafe\u0301",
        "cafe",
    )
    with pytest.raises(ParameterError, match="expected words"):
        asked_words(" , ")


def test_more_labels_than_the_model_reads_at_once_take_several_passes(pipe, photo, monkeypatch):
    words = tuple(f"word{number}" for number in range(30))
    groups = groups_that_fit(pipe.tokenizer, words)
    assert sum(groups, ()) == words
    assert len(groups) > 1
    assert max(map(len, groups)) - min(map(len, groups)) <= 1
    many = segment(photo, pipe, thresholds=TAU, labels=words)
    assert many.evidence.words == words
    assert len(many.evidence.word_maps) == 30
    last = segment(photo, pipe, thresholds=TAU, labels=groups[-1])
    start = 30 - len(groups[-1])
    assert torch.equal(many.evidence.word_maps[start:], last.evidence.word_maps)
    assert many.origin["prompt"] == " | ".join(", ".join(group) for group in groups)


def test_a_label_longer_than_the_model_reads_is_an_error(pipe, photo):
    with pytest.raises(
        WordError, match=r"cut off: the model reads 77 tokens; ask for fewer or shorter words"
    ):
        segment(photo, pipe, labels=["red " * 80 + "house", "sky"])


def test_a_prompt_gives_the_words_their_surroundings(pipe, photo):
    named = segment(photo, pipe, thresholds=TAU, labels=["sun", "grass"], prompt="a red sun over grass")
    assert set(named.names) <= {"sun", "grass", None}
    assert named.origin["prompt"] == "a red sun over grass"


def test_a_word_that_is_not_in_the_prompt_is_an_error_before_any_pass(pipe, photo, monkeypatch):
    monkeypatch.delattr("attnscope.segmentation.photo.photo_trace")
    with pytest.raises(WordError, match="moon"):
        segment(photo, pipe, labels=["moon"], prompt="a red sun over grass")


def test_another_recipe_needs_no_model(found, monkeypatch):
    monkeypatch.delattr("attnscope.segmentation.photo.photo_trace")
    coarser = found.again(10.0)
    assert len(coarser) == 1
    assert coarser.recipe.thresholds == (10.0,) * 3
    assert np.array_equal(coarser.again([TAU] * 3).labels, found.labels)
    assert found.again(preset="reference").recipe.preset == "reference"
    with pytest.raises(KeywordError, match="a diffseg recipe has no 'tau'"):
        found.again(tau=1)


def test_thresholds_default_to_the_papers_and_say_so(pipe, photo):
    assert recommended_threshold(None) == (1.1, "paper")
    assert recommended_threshold("runs/mine") == (1.1, "paper")
    assert recommended_threshold(str(demo.MODEL_FOLDER)) == (demo.DIFFSEG_THRESHOLD, "model")
    recipe = segment(photo, pipe).recipe
    assert (recipe.thresholds, recipe.threshold_source) == ((1.1,) * 3, "paper")


def test_a_trace_is_segmented_at_its_pictures_size(trace):
    found = segment(trace, thresholds=TAU, labels=["red sun", "grass"])
    assert found.labels.shape == (64, 128)
    assert found.aggregated.shape == (8, 16, 8, 16)
    assert set(found.names) <= {"red sun", "grass"}
    assert found.origin["steps"] == [0, 1]
    assert found.overlay().size == (128, 64)


def test_steps_of_a_trace_are_averaged(trace):
    parts = [segment_trace(trace, steps=[step], thresholds=TAU).aggregated for step in (0, 1)]
    both = segment_trace(trace, thresholds=TAU).aggregated
    assert not torch.allclose(parts[0], parts[1], rtol=1e-3)
    assert torch.equal(segment_trace(trace, steps=-1, thresholds=TAU).aggregated, parts[1])
    assert torch.equal(segment_trace(trace, steps=slice(1, None), thresholds=TAU).aggregated, parts[1])
    expected = aggregate(
        (trace.probabilities(block=b.block, kind="self", branch="cond", image=0).mean((0, 1)), tuple(b.grid))
        for b in trace.layers
        if b.kind == "self"
    )
    torch.testing.assert_close(both, expected, rtol=1e-5, atol=1e-9)


def test_a_trace_lacks_what_it_lacks(trace):
    with pytest.raises(SelectionError, match="step"):
        segment_trace(trace, steps=7, thresholds=TAU)
    with pytest.raises(SelectionError, match="branch"):
        segment_trace(trace, branch="negative", thresholds=TAU)
    with pytest.raises(WordError, match="moon"):
        segment_trace(trace, labels=["moon"], thresholds=TAU)


def test_a_trace_can_be_segmented_by_its_own_choices(trace):
    chosen = segment(trace, thresholds=TAU, step=[1], branch="uncond", image=0)
    assert chosen.origin["steps"] == [1]
    assert chosen == segment_trace(trace, steps=[1], branch="uncond", threshold=TAU)
    assert chosen.aggregated.shape == segment(trace, thresholds=TAU).aggregated.shape
    assert not torch.equal(chosen.aggregated, segment(trace, thresholds=TAU).aggregated)


def test_choices_of_a_trace_are_refused_for_a_photo(pipe, photo):
    with pytest.raises(ParameterError, match="steps, image can't be chosen for a photo: only a trace has it"):
        segment(photo, pipe, steps=[0], image=0)


def test_a_segmentation_draws_itself_on_given_axes(found):
    import matplotlib.figure

    axes = matplotlib.figure.Figure().subplots()
    assert found.plot(axes) is axes
    assert axes.images[0].get_array().shape[:2] == found.labels.shape


def test_choices_of_a_photos_pass_are_refused_for_a_trace(trace):
    with pytest.raises(ParameterError, match="crop, timestep can't be chosen for a trace"):
        segment(trace, crop=True, timestep=1)


def test_a_trace_without_self_attention_says_so(pipe):
    with attnscope.capture(pipe.unet, kind="cross") as trace, torch.no_grad():
        pipe.unet(torch.randn(1, 4, 8, 8), 1, encoder_hidden_states=torch.randn(1, 77, 64))
    with pytest.raises(SelectionError, match="this trace holds no self-attention"):
        segment_trace(trace, thresholds=TAU)


def test_a_bare_unets_trace_has_eight_pixels_a_position_and_no_overlay(pipe):
    with attnscope.capture(pipe.unet, kind="self") as trace, torch.no_grad():
        pipe.unet(torch.randn(1, 4, 8, 16), 1, encoder_hidden_states=torch.randn(1, 77, 64))
    found = segment_trace(trace, thresholds=TAU)
    assert found.labels.shape == (64, 128)
    with pytest.raises(ParameterError, match="picture="):
        found.overlay()


def test_many_photos_come_one_by_one_with_progress(pipe, photo):
    seen = []
    many = segment_many(
        [photo, photo], pipe, thresholds=TAU, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == []
    assert next(many).labels.shape == (90, 140)
    assert seen == [(1, 2)]
    assert len(list(many)) == 1
    assert seen == [(1, 2), (2, 2)]


def test_many_photos_go_on_after_one_that_fails(pipe, photo, tmp_path):
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    bad, failures, seen = [tmp_path / "cut.png", np.full((9, 9), "a"), None, "x" * 300], [], []
    many = segment_many(
        [bad[0], photo, *bad[1:], photo],
        pipe,
        thresholds=TAU,
        failed=lambda picture, error: failures.append((picture, error)),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert [segmented.labels.shape for segmented in many] == [(90, 140)] * 2
    assert all(picture is expected for (picture, _), expected in zip(failures, bad, strict=True))
    assert all(isinstance(error, ImageError) for _, error in failures)
    assert seen == [(done, 6) for done in range(1, 7)]


def test_many_photos_end_at_one_that_fails_unless_told(pipe, photo):
    many = segment_many([photo, "missing.png", photo], pipe, thresholds=TAU)
    next(many)
    with pytest.raises(ImageError, match=r"no such file: missing.png"):
        next(many)


def test_saved_files_hold_labels_overlay_and_segments(found, tmp_path):
    paths = found.save(tmp_path / "out" / "photo.png")
    assert [path.name for path in paths] == ["photo.labels.png", "photo.overlay.png", "photo.json"]
    with Image.open(paths[0]) as image:
        assert image.mode == "P"
        assert np.array_equal(np.asarray(image), found.labels)
        assert image.getpalette()[:3] == segment_colours(1)[0].tolist()
    with Image.open(paths[1]) as image:
        assert image.size == (140, 90)
    described = json.loads(paths[2].read_text())
    assert described["size"] == {"height": 90, "width": 140}
    assert described["recipe"]["thresholds"] == [TAU] * 3
    assert len(described["segments"]) == len(found)
    for entry in described["segments"]:
        assert set(entry) == {"id", "label", "area", "box", "centroid", "rle", "scores"}
        assert np.array_equal(rle_mask(entry["rle"]), found.mask(entry["id"]))
        assert entry["label"] == found.names[entry["id"]]


def test_existing_files_can_be_protected(found, tmp_path):
    found.save(tmp_path / "photo")
    with pytest.raises(OutputError, match=r"photo.labels.png.* exists already"):
        found.save(tmp_path / "photo")
    assert len(found.save(tmp_path / "photo", overwrite=True)) == 3


def test_a_place_that_cannot_be_written_is_named(found, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="can't write"):
        found.save(tmp_path / "file" / "photo")


def test_unknown_segments_are_named(found):
    with pytest.raises(SelectionError, match="segments 0 to"):
        found.mask(len(found))
    with pytest.raises(SelectionError, match="no segment is named 'moon'"):
        found.mask("moon")


@pytest.mark.parametrize("thresholds", [-1.0, float("nan"), [0.5, -0.5], []])
def test_wrong_thresholds_are_explained(pipe, photo, thresholds):
    with pytest.raises(ParameterError, match="thresholds are"):
        segment(photo, pipe, thresholds=thresholds)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"timestep": 1000}, r"timestep is 1000; .*0..999"),
        ({"timestep": -1}, "timestep is -1"),
        ({"timestep": 1000, "noise_seed": 1}, "timestep is 1000"),
        ({"passes": 0}, "passes is 0"),
        ({"preset": "fast"}, "preset is 'fast'"),
        ({"anchors": 0}, "anchors is 0"),
        ({"labels": []}, "labels are"),
        ({"labels": ["sky", " "]}, "labels are"),
        ({"weights": {(16, 16): 1}}, "weights name"),
    ],
)
def test_wrong_settings_are_explained(pipe, photo, settings, message):
    with pytest.raises(ParameterError, match=message):
        segment(photo, pipe, **{"thresholds": TAU, **settings})


def test_wrong_photos_are_explained(pipe, tmp_path):
    with pytest.raises(ImageError, match="no such file"):
        segment(tmp_path / "missing.jpg", pipe)
    with pytest.raises(ImageError, match="1x1 pixels"):
        segment(Image.new("RGB", (1, 1)), pipe)
    with pytest.raises(ImageError, match="1000:1"):
        segment(Image.new("RGB", (20, 20_000)), pipe)


def test_a_very_long_photo_can_be_cropped(pipe):
    assert segment(Image.new("RGB", (20, 20_000)), pipe, crop=True).labels.shape == (20, 20)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vae": None}, "has no vae"),
        ({"unet": None, "encode_prompt": print}, "has no denoising model, pipe.unet is None"),
        ({}, "has no encode_prompt"),
    ],
)
def test_pipelines_without_their_parts_are_refused(pipe, photo, change, message):
    parts = {**pipe.components, **change}
    broken = type("Incomplete", (), parts)()
    with pytest.raises(ModelError, match=message):
        segment(photo, broken)


def test_no_pipeline_at_all_is_refused(photo):
    with pytest.raises(ModelError, match="load_pipeline"):
        segment(photo)


def test_diffseg_can_be_named_without_torch():
    code = "import sys, attnscope; attnscope.diffseg, attnscope.pictures; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_word_inside_an_earlier_phrase_is_found_at_its_own_place(pipe):
    words = ("red house", "house", "tree")
    tokens = tokenize(pipe.tokenizer, ", ".join(words)).tokens
    spans = named_spans(", ".join(words), tokens, words, "paper")
    assert [[tokens[at].text for at in span.tokens] for span in spans] == [
        ["red", "house"],
        ["house"],
        ["tree"],
    ]
    assert spans[1].tokens[0] > spans[0].tokens[-1]


def test_a_segmentation_is_an_array_of_labels_to_numpy_and_can_be_compared():
    trace = made_trace(grids=((8, 8), (4, 4)), kinds=("self",))
    found, again = segment_trace(trace, thresholds=0.5), segment_trace(trace, thresholds=0.5)
    assert np.array_equal(np.asarray(found), found.labels)
    assert found == again
    assert found != replace(found, labels=found.labels + 1)
    assert found != "segments"


@pytest.mark.parametrize("model", ["nul \0", "half a pair \ud800", "a" * 5000])
def test_a_trace_whose_model_has_a_name_that_no_path_can_have_is_segmented(model):
    trace = made_trace()
    trace.run.model = model
    assert attnscope.segment_trace(trace).recipe.threshold_source == "paper"

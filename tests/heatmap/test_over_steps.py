import sys
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image, ImageSequence

import attnscope
from attnscope.errors import MissingExtraError, OutputError, ParameterError, SelectionError, WordError
from attnscope.heatmap.over_steps import step_frames
from attnscope.pictures.moving import gif_bytes, mp4_bytes
from attnscope.testing.made_traces import made_trace

needs_av = pytest.mark.skipif(find_spec("av") is None, reason="PyAV is not installed: attnscope[video]")


def with_picture(trace, size=(48, 32)):
    trace.run.pictures = [Image.new("RGB", size, "green")]
    return trace


def test_each_step_has_the_map_of_that_step():
    trace = made_trace(steps=3)
    told = []
    maps = attnscope.heat_maps_by_step(trace, "cat", progress=lambda done, total: told.append((done, total)))
    assert list(maps) == [0, 1, 2]
    for step, heat in maps.items():
        assert heat == attnscope.heat_map(trace, "cat", steps=step)
    assert told == [(1, 3), (2, 3), (3, 3)]
    mean = np.mean([heat.array for heat in maps.values()], axis=0)
    assert np.abs(mean - attnscope.heat_map(trace, "cat").array).max() < 1e-6
    assert list(attnscope.heat_maps_by_step(trace, "cat", steps=[2, 0])) == [2, 0]
    assert list(attnscope.heat_maps_by_step(trace, "cat", step=1)) == [1]
    one = attnscope.heat_maps_by_step(trace, "cat", branch="uncond", block=2, head=1)[0]
    assert one == attnscope.heat_map(trace, "cat", branch="uncond", blocks=2, heads=1, steps=0)


def test_steps_that_lack_the_branch_are_left_out_unless_they_are_asked_for(pipe, seeded):
    def ends_guidance(pipeline, step, timestep, tensors):
        if step == 0:
            pipeline._guidance_scale = 1.0
            tensors["prompt_embeds"] = tensors["prompt_embeds"].chunk(2)[-1]
        return tensors

    with attnscope.capture(pipe) as trace:
        pipe(
            "a red cat",
            negative_prompt="a star",
            num_inference_steps=3,
            generator=seeded(),
            callback_on_step_end=ends_guidance,
            callback_on_step_end_tensor_inputs=["prompt_embeds"],
            output_type="latent",
        )
    assert list(attnscope.heat_maps_by_step(trace, "star", branch="uncond")) == [0]
    assert list(attnscope.heat_maps_by_step(trace, "cat")) == [0, 1, 2]
    with pytest.raises(SelectionError):
        attnscope.heat_maps_by_step(trace, "star", branch="uncond", steps=1)


def test_a_gif_has_a_frame_for_each_step_of_one_scale(tmp_path):
    trace = with_picture(made_trace(steps=4))
    file = attnscope.animate(trace, "cat", tmp_path / "cat.gif", seconds=0.5)
    with Image.open(file) as gif:
        durations = [frame.info["duration"] for frame in ImageSequence.Iterator(gif)]
        assert (gif.n_frames, gif.info["loop"]) == (4, 0)
        assert durations == [500, 500, 500, 1500]
        assert gif.size == (256, round(256 * 32 / 48) + 46)
    with pytest.raises(OutputError, match="exists already"):
        attnscope.animate(trace, "cat", file)
    assert attnscope.animate(trace, "cat", file, steps=[0, 2], overwrite=True) == file
    with Image.open(file) as gif:
        assert gif.n_frames == 2


def test_all_frames_have_one_colour_scale():
    trace = made_trace(steps=3)
    maps = attnscope.heat_maps_by_step(trace, "cat")
    frames = [np.asarray(frame)[:-50] for frame in step_frames(trace, maps)]
    top = max(maps.values(), key=lambda heat: heat.array.max())
    brightest = [frame.sum(-1).max() for frame in frames]
    assert int(np.argmax(brightest)) == list(maps.values()).index(top)
    assert len(set(brightest)) > 1


@pytest.mark.parametrize("size", [(8, 8), (2000, 100), (100, 2000), (333, 257)])
def test_frames_are_neither_tiny_nor_huge(size):
    trace = with_picture(made_trace(steps=1), size)
    trace.run.image_size_hw = None
    (frame,) = step_frames(trace, attnscope.heat_maps_by_step(trace, "cat"))
    assert 256 <= max(frame.width, frame.height - 46) <= 512


def test_what_cannot_be_written_is_refused_before_anything_is_computed(tmp_path, monkeypatch):
    trace = made_trace()
    with pytest.raises(ParameterError, match=r"ends in \.gif or \.mp4"):
        attnscope.animate(trace, "cat", tmp_path / "cat.webm")
    for seconds in (0, -1, 61, float("nan")):
        with pytest.raises(ParameterError, match="expected 0.02 to 60"):
            attnscope.animate(trace, "cat", tmp_path / "cat.gif", seconds=seconds)
    with pytest.raises(WordError, match="dog"):
        attnscope.animate(trace, "dog", tmp_path / "dog.gif")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r'pip install "attnscope\[video\]"; a GIF needs nothing'):
        attnscope.animate(trace, "cat", tmp_path / "cat.mp4")
    assert list(tmp_path.iterdir()) == []
    assert attnscope.animate(trace, "cat", tmp_path / "cat.gif").exists()


def test_a_gif_keeps_colours_that_only_one_frame_has():
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("black", "red", "white", "blue", "lime")]
    from io import BytesIO

    with Image.open(BytesIO(gif_bytes(frames, 0.1))) as gif:
        shown = [frame.convert("RGB").getpixel((20, 15)) for frame in ImageSequence.Iterator(gif)]
    expected = [frame.getpixel((0, 0)) for frame in frames]
    assert np.abs(np.array(shown) - expected).max() <= 8


@needs_av
@pytest.mark.parametrize(("size", "seconds"), [((51, 33), 0.2), ((64, 48), 1 / 3), ((40, 40), 1.5)])
def test_an_mp4_has_each_frame_and_the_last_one_longer(size, seconds):
    from io import BytesIO

    import av

    frames = [Image.new("RGB", size, (40 * at, 100, 50)) for at in range(5)]
    with av.open(BytesIO(mp4_bytes(frames, seconds))) as file:
        stream = file.streams.video[0]
        shown = [frame.to_image() for frame in file.decode(stream)]
        assert (stream.codec_context.name, stream.width % 2, stream.height % 2) == ("h264", 0, 0)
        assert float(stream.average_rate) == pytest.approx(1 / seconds, rel=1e-3)
    assert len(shown) == 5 + max(1, round(1 / seconds))
    for frame, picture in zip(frames, shown, strict=False):
        assert np.abs(np.subtract(frame.getpixel((5, 5)), picture.getpixel((5, 5)))).max() <= 6


@needs_av
def test_a_name_that_ends_in_mp4_makes_one(tmp_path):
    file = attnscope.animate(with_picture(made_trace(steps=3)), "cat", tmp_path / "cat.mp4")
    assert file.read_bytes()[4:8] == b"ftyp"

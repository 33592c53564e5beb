"""Methods side by side."""

import json

import numpy as np
import pytest
from PIL import Image

import attnscope
from attnscope.cli import main
from attnscope.demo.scenes import scene
from attnscope.errors import ParameterError
from attnscope.evaluation import scores
from attnscope.evaluation.comparing import _numbers_like


@pytest.fixture(scope="module")
def drawn():
    return scene(3)


@pytest.fixture(scope="module")
def demo():
    return attnscope.load_pipeline("demo")


@pytest.fixture(scope="module")
def compared(drawn, demo):
    return attnscope.compare(drawn.pil_image, demo, labels=drawn.parts, truth=drawn.segments)


def test_each_method_is_what_segment_gives(compared, drawn, demo):
    assert [each.method for each in compared.methods] == ["diffseg", "auto", "ncut", "words"]
    for method in ("diffseg", "ncut", "words"):
        assert compared[method] == attnscope.segment(drawn.pil_image, demo, method=method, labels=drawn.parts)
    automatic = attnscope.segment(drawn.pil_image, demo, thresholds="auto", labels=drawn.parts)
    assert compared["auto"] == automatic
    with pytest.raises(KeyError):
        compared["cuts"]


def test_scores_are_those_of_the_truth_and_what_is_not_judged_is_left_out(drawn, demo):
    truth = drawn.segments.astype(np.int64) * 100  # any numbers
    truth[:50] = 255
    numbers = np.unique(truth[truth != 255])
    judged = np.where(truth == 255, 255, np.searchsorted(numbers, truth))
    compared = attnscope.compare(drawn.pil_image, demo, methods=["ncut"], truth=truth)
    expected = scores([compared["ncut"].labels], [judged], classes=len(numbers), resamples=0)
    assert compared.methods[0].scores.miou == expected.miou > 0.7


def test_the_sheet_shows_the_picture_and_every_method(compared):
    sheet = compared.sheet()
    assert sheet.width > 2 * 256
    assert "mIoU" in repr(compared)
    assert compared._repr_png_().startswith(b"\x89PNG")


def test_segments_on_the_same_pixels_have_the_same_number():
    others = np.array([[0, 0, 1, 1], [2, 2, 1, 1]])
    labels = np.array([[2, 2, 0, 0], [1, 1, 0, 3]])
    assert _numbers_like(labels, others).tolist() == [1, 2, 0, 3]


def test_a_trace_is_compared_without_a_model(demo):
    with attnscope.capture(demo) as trace:
        demo("a red house on grass", num_inference_steps=1, output_type="latent")
    compared = attnscope.compare(trace, methods=["ncut", "auto", "ncut"])
    assert [each.method for each in compared.methods] == ["ncut", "auto"]
    assert compared.sheet().height > 256


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"methods": ["cuts"]}, "methods hold 'cuts'; expected some of"),
        ({"methods": []}, "methods are empty"),
        ({"methods": ["words"]}, "give them with labels="),
        ({"truth": np.zeros((8, 9), int)}, "the truth is"),
    ],
)
def test_what_is_wrong_is_said(drawn, demo, choices, message):
    with pytest.raises(ParameterError, match=message):
        attnscope.compare(drawn.pil_image, demo, **choices)


def test_the_command(drawn, tmp_path, capsys):
    drawn.pil_image.save(tmp_path / "scene.png")
    Image.fromarray(drawn.segments.astype(np.uint8)).save(tmp_path / "mask.png")
    asked = ["compare", tmp_path / "scene.png", "--methods", "diffseg,ncut", "--truth", tmp_path / "mask.png"]
    asked += ["-o", tmp_path / "sheet.png"]
    assert main([str(word) for word in (*asked, "--json")]) == 0
    methods = json.loads(capsys.readouterr().out)["methods"]
    assert [each["method"] for each in methods] == ["diffseg", "ncut"]
    assert methods[1]["scores"]["miou"] > methods[0]["scores"]["miou"] - 0.1
    assert main([str(word) for word in asked]) == 1
    assert "exists already" in capsys.readouterr().err
    assert main([str(word) for word in (*asked, "--force")]) == 0
    assert "Boundary F" in capsys.readouterr().out

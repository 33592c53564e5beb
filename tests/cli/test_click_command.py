"""`attnscope segment --click`: the mask of a thing, and what goes wrong."""

import json

import numpy as np
import pytest
from picture_file import read

import attnscope


def test_click_writes_mask_overlay_and_json_of_the_library_call(run, model, photo, tmp_path):
    options = [
        "--model",
        model,
        "--click",
        "30,40",
        "--click",
        "50,60",
        "--minus",
        "3,3",
        "-o",
        tmp_path,
        "--json",
    ]
    code, out, err = run("segment", photo, *options)
    assert code == 0, err
    expected = attnscope.click(
        photo, [(30, 40), (50, 60)], [(3, 3)], attnscope.load_pipeline(model, device="cpu")
    )
    assert np.array_equal(np.asarray(read(tmp_path / "photo.mask.png")) == 255, expected.mask)
    assert read(tmp_path / "photo.overlay.png").size == expected.picture.size
    (found,) = json.loads(out)
    assert found["area"] == expected.mask.sum()
    assert found["minus"] == [[3, 3]]
    assert err.count("wrote ") == 3


def test_a_trace_is_clicked_on_without_a_model(run, made, tmp_path):
    code, out, err = run(
        "segment", made / "run.trace", "--model", "nowhere", "--click", "64,64", "-o", tmp_path
    )
    assert code == 0, err
    assert read(tmp_path / "run.trace.mask.png").size == (128, 128)
    assert "% of the picture, score" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--minus", "3,3"], "there is no plus click"),
        (["--click", "3"], "--click '3': expected X,Y"),
        (["--click", "3,4", "--minus", "a,b"], "--minus 'a,b': expected X,Y"),
        (["--click", "3000,4"], "outside of the picture"),
        (
            ["--click", "3,4", "--refine", "--labels", "cat"],
            "--labels, --refine can't be chosen with --click",
        ),
        (["--click", "3,4", "--pass", "0"], "only a trace has passes"),
        (["--click", "3,4", "extra.png"], "one picture"),
    ],
)
def test_wrong_clicks_are_one_line(run, model, photo, tmp_path, options, message):
    code, _, err = run("segment", photo, "--model", model, "-o", tmp_path / "out", *options)
    assert code in (1, 2)
    assert message in err
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_over_without_force(run, model, photo, tmp_path):
    (tmp_path / "photo.mask.png").touch()
    code, _, err = run("segment", photo, "--model", model, "-o", tmp_path, "--click", "3,3")
    assert code != 0
    assert "photo.mask.png" in err
    assert run("segment", photo, "--model", model, "-o", tmp_path, "--click", "3,3", "--force")[0] == 0

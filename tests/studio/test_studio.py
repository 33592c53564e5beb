"""The studio's server: pictures, what there is to see of them meanwhile, edits, photos, and what they are in Python."""

import io

import numpy as np
import pytest
from PIL import Image

import attnscope
from attnscope.demo import GUIDANCE_SCALE
from studio_client import PROMPT, called
from unpacking import unpack


@pytest.fixture(scope="module")
def pipe():
    pipe = attnscope.load_pipeline("demo")
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def plain(studio):
    """A picture without any edit."""
    return studio.made(PROMPT, seed=3)


def picture(studio, run):
    answer = studio.client.get(
        f"/api/traces/{run['trace']}/picture", params={"image": len_images(studio, run) - 1}
    )
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def len_images(studio, run):
    return len(info(studio, run)["images"])


def info(studio, run):
    traces = studio.client.get("/api/traces").json()["traces"]
    return next(trace for trace in traces if trace["number"] == run["trace"])


def word_map(studio, run, word, step=None):
    """The map of a word, as the page gets it."""
    words = info(studio, run)["images"][0]["texts"]["cond"]["words"]
    tokens = next(each["tokens"] for each in words if each["text"] == word)
    asked = {"token": tokens} if step is None else {"token": tokens, "step": step}
    answer = studio.client.get(f"/api/traces/{run['trace']}/words", params=asked)
    return unpack(answer.content)[0][1]


def by_code(studio, run):
    """What the Python to copy makes."""
    variables = {}
    exec(studio.client.get(f"/api/runs/{run['number']}/code").json()["python"], variables)
    return variables


def test_the_picture_is_the_pipelines_own_to_the_bit(studio, plain, pipe):
    assert np.array_equal(picture(studio, plain), np.asarray(called(pipe)))
    variables = by_code(studio, plain)
    assert np.array_equal(picture(studio, plain), np.asarray(variables["picture"]))
    assert variables["trace"].prompt() == PROMPT


def test_the_picture_forms_step_by_step_with_its_words(studio):
    number = studio.make(PROMPT, steps=20, seed=1)["number"]
    steps, news = {}, {"count": -1}
    while (run := studio.run(number))["state"] in ("waiting", "loading", "running"):
        if run["seen"] is not None and run["seen"] not in steps:
            seen = studio.client.get(f"/api/runs/{number}/seen")
            maps = unpack(studio.client.get(f"/api/runs/{number}/seen-words").content)
            steps[run["seen"]] = Image.open(io.BytesIO(seen.content)), len(maps), run["words"]
        news = studio.news(news["count"])
    assert run["state"] == "done"
    assert len(steps) >= 3
    assert all(count == len(words) == 10 for _, count, words in steps.values())
    last = np.asarray(steps[max(steps)][0].convert("RGB"), float)
    final = picture(studio, run).astype(float)
    far = [np.abs(np.asarray(shown.convert("RGB"), float) - final).mean() for shown, _, _ in steps.values()]
    assert far[-1] == np.abs(last - final).mean() < far[0]  # it comes closer


def test_a_word_that_is_boosted_has_more_attention_in_the_page_and_in_python(studio, plain):
    boosted = studio.made(
        PROMPT, seed=3, edits=[{"edit": "reweight", "words": "tree", "factor": 4.0}], before=plain["number"]
    )
    before, after = (word_map(studio, run, "tree", step=2).mean() for run in (plain, boosted))
    assert after > 1.5 * before
    trace = by_code(studio, boosted)["trace"]
    assert attnscope.heat_map(trace, "tree", steps=2).array.mean() == pytest.approx(after, rel=1e-3)
    assert trace.run.edits


MASK = {"height": 2, "width": 2, "bits": "wA=="}  # the upper half
HALF = [[True, True], [False, False]]


@pytest.mark.parametrize(
    ("asked", "edit"),
    [
        (
            {"edit": "region", "words": "tree", "box": [0, 0, 1, 0.5]},
            lambda trace: attnscope.Region("tree", (0, 0, 1, 0.5)),
        ),
        (
            {"edit": "region", "words": "tree", "mask": MASK},
            lambda trace: attnscope.Region("tree", np.array(HALF)),
        ),
        (
            {"edit": "ablate", "block": 7, "kind": "self", "head": 1},
            lambda trace: attnscope.Ablate(block=7, kind="self", head=1),
        ),
        (
            {"edit": "ablate", "block": 7, "kind": "cross"},
            lambda trace: attnscope.Ablate(block=7, kind="cross"),
        ),
        (
            {"edit": "reweight", "words": [2, 3], "factor": 0.0},
            lambda trace: attnscope.Reweight([2, 3], 0.0),
        ),
        (
            {"edit": "freeze", "run": None, "until": 0.6},
            lambda trace: attnscope.Freeze(trace, steps=range(2)),
        ),
    ],
    ids=["box", "mask", "head", "block", "tokens", "freeze"],
)
def test_edits_are_those_of_the_library(studio, plain, pipe, asked, edit):
    asked = {**asked, "run": plain["number"]} if asked["edit"] == "freeze" else asked
    prompt = PROMPT.replace("red", "blue") if asked["edit"] == "freeze" else PROMPT
    run = studio.made(prompt, seed=3, edits=[asked])
    trace = attnscope.load_trace(next(studio.folder.glob(f"{plain['number']:04d}-*")) / "run.trace")
    with attnscope.edit(pipe, edit(trace)):
        expected = called(pipe, prompt)
    assert np.array_equal(picture(studio, run), np.asarray(expected))
    assert not np.array_equal(picture(studio, run), picture(studio, plain))
    assert np.array_equal(picture(studio, run), np.asarray(by_code(studio, run)["picture"]))


@pytest.mark.parametrize(
    ("target", "edits", "how", "weights"),
    [
        (PROMPT.replace("red", "blue"), [], "replace", None),
        (PROMPT.replace("grass", "green grass"), [], "refine", None),
        (PROMPT, [{"edit": "reweight", "words": "tree", "factor": 3.0}], "reweight", {"tree": 3.0}),
    ],
    ids=["replace", "refine", "reweight"],
)
def test_a_layout_is_prompt_to_prompt(studio, plain, pipe, target, edits, how, weights):
    layout = {"run": plain["number"], "cross_steps": 0.7, "self_steps": 0.5}
    run = studio.made(target, seed=3, layout=layout, edits=edits)
    made = attnscope.prompt_to_prompt(
        pipe,
        [PROMPT, target],
        how,
        cross_steps=0.7,
        self_steps=0.5,
        weights=weights,
        generator=3,
        num_inference_steps=3,
        guidance_scale=GUIDANCE_SCALE,
    )
    assert len_images(studio, run) == 2
    assert np.array_equal(picture(studio, run), np.asarray(made.images[1]))
    assert np.array_equal(picture(studio, run), np.asarray(by_code(studio, run)["picture"]))


def test_a_photo_is_read_with_a_text(studio, pipe, demo_photo):
    answer = studio.client.post("/api/photos", params={"text": "a balloon and a tree"}, content=demo_photo)
    run = studio.over(answer.json()["number"])
    assert (run["state"], run["kind"]) == ("done", "photo"), run
    trace = attnscope.read_photo(pipe, io.BytesIO(demo_photo), "a balloon and a tree")
    assert attnscope.heat_map(trace, "tree").array == pytest.approx(
        word_map(studio, run, "tree"), rel=1e-2, abs=1e-5
    )
    again = by_code(studio, run)["trace"]
    assert np.array_equal(attnscope.heat_map(again, "tree").array, attnscope.heat_map(trace, "tree").array)


def test_a_photo_has_its_name_once_it_is_whole(studio, demo_photo, monkeypatch):
    def photos():
        return set(studio.folder.glob("*/photo.png"))

    before, meanwhile, save = photos(), [], Image.Image.save

    def watched(self, place, *args, **kwargs):
        save(self, place, *args, **kwargs)
        if str(place).endswith("photo.png"):
            meanwhile.append(photos() - before)

    monkeypatch.setattr(Image.Image, "save", watched)
    answer = studio.client.post("/api/photos", params={"text": "a tree"}, content=demo_photo)
    assert (meanwhile, len(photos() - before)) == ([set()], 1)
    studio.over(answer.json()["number"])


@pytest.fixture(scope="module")
def demo_photo():
    from attnscope.demo.scenes import scenes

    body = io.BytesIO()
    scene = next(scenes([40000]))
    Image.fromarray(scene.image).save(body, "PNG")
    return body.getvalue()

"""`evaluate`: the same numbers as by hand, going on after an interruption, searches without passes, its files."""

import json
import pickle
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import attnscope
from attnscope.cli import main
from attnscope.errors import AttnscopeError, ParameterError
from attnscope.evaluation import evaluate, scores
from attnscope.evaluation.evaluating import search_values
from attnscope.evaluation.job import EvaluationJob
from attnscope.evaluation.layouts import open_dataset
from attnscope.evaluation.markdown import markdown
from attnscope.jobs.loop import Loop
from attnscope.jobs.ray_engine import RayEngine
from attnscope.reporting.evaluation import evaluation_page, save_evaluation


@pytest.fixture
def model(pipe, monkeypatch):
    """A name under which the tiny pipeline is loaded."""
    monkeypatch.setattr("attnscope.evaluation.job.load_pipeline", {"tiny": pipe}.__getitem__)
    return "tiny"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Five pictures of 64x48 pixels with masks of three classes; the last stripe is not judged."""
    root = tmp_path_factory.mktemp("photos")
    for part in ("images", "masks"):
        (root / part).mkdir()
    rng = np.random.default_rng(0)
    for number in range(5):
        mask = rng.integers(0, 3, (4, 3)).repeat(16, 0).repeat(16, 1).astype(np.uint8)
        colours = rng.integers(0, 255, (3, 3)).astype(np.uint8)
        Image.fromarray(colours[mask]).save(root / f"images/{number}.png")
        mask[-8:] = 255
        Image.fromarray(mask).save(root / f"masks/{number}.png")
    (root / "classes.txt").write_text("wall\nfloor\ndoor\n")
    return root


@pytest.fixture
def ask(model, photos, tmp_path):
    def ask(**changes):
        changes = {"model": model, "output": tmp_path / "out", "resamples": 20, "thresholds": 0.05, **changes}
        return evaluate("folder", photos, **changes)

    return ask


@pytest.fixture
def passes(monkeypatch):
    """The pictures that went through the model."""
    seen, segment = [], attnscope.segment

    def watched(*arguments, **settings):
        seen.append(settings)
        return segment(*arguments, **settings)

    monkeypatch.setattr("attnscope.evaluation.job.segment", watched)
    return seen


def test_scores_are_those_of_segments_made_by_hand(ask, photos, pipe):
    made = ask()
    names = range(5)
    labels = [attnscope.segment(photos / f"images/{n}.png", pipe, thresholds=0.05).labels for n in names]
    truths = [np.asarray(Image.open(photos / f"masks/{n}.png")) for n in names]
    for assignment in ("per-image", "dataset"):
        expected = scores(labels, truths, classes=3, assignment=assignment, resamples=20)
        assert made.scores[assignment].to_dict() == expected.to_dict()
    assert made.pictures == 5
    assert [each.rank for each in made.examples] == ["best", "median", "worst"]


@pytest.mark.thorough
@pytest.mark.slow
def test_an_interrupted_run_goes_on_and_ends_alike(ask, passes, tmp_path):
    class Stopped(Loop):
        def rows(self, job, items):
            for number, row in enumerate(super().rows(job, items)):
                if number == 2:
                    raise KeyboardInterrupt
                yield row

    with pytest.raises(KeyboardInterrupt):
        ask(engine=Stopped())
    done = len(passes)
    assert done == 3
    again = ask()
    assert len(passes) == 5
    whole = ask(output=tmp_path / "whole")
    assert again.to_dict()["scores"] == whole.to_dict()["scores"]
    ask()
    assert len(passes) == 10


@pytest.mark.thorough
@pytest.mark.slow
def test_another_recipe_picture_or_broken_file_is_done_anew(ask, passes, photos, tmp_path):
    ask()
    ask(thresholds=0.04)
    assert len(passes) == 10
    picture = photos / "images/3.png"
    Image.open(picture).save(picture)
    next((tmp_path / "out/counted").rglob("1.npz")).write_bytes(b"PK")
    ask(thresholds=0.04)
    assert len(passes) in (11, 12)  # the broken file may be the other recipe's


@pytest.mark.thorough
def test_other_methods_take_no_pass_where_attention_was_kept(ask, passes, photos, pipe):
    ask(keep=True, limit=2)
    seen = len(passes)
    for settings in ({"method": "ncut"}, {"method": "ncut", "fit": True}, {"thresholds": "auto"}):
        made = ask(limit=2, **{"thresholds": None, **settings})
        assert len(passes) == seen == 2
        labels = [attnscope.segment(photos / f"images/{n}.png", pipe, **settings).labels for n in range(2)]
        truths = [np.asarray(Image.open(photos / f"masks/{n}.png")) for n in range(2)]
        assert made.scores["per-image"].miou == scores(labels, truths, classes=3, resamples=0).miou


@pytest.mark.thorough
def test_a_search_makes_one_pass_a_picture_and_then_none(ask, passes):
    made = ask(search=(0.02, 0.3))
    assert len(passes) == 5
    assert made.kept_bytes["attention"] > 5 * 4 * 8**4 / 2
    by_hand = ask(thresholds=0.3)
    row = next(each for each in made.tried if (each.thresholds, each.protocol) == (0.3, "per-image"))
    assert (row.miou, row.accuracy) == (
        by_hand.scores["per-image"].miou,
        by_hand.scores["per-image"].accuracy,
    )
    before = len(passes)
    assert len(ask(search=(0.02, 0.1, 0.3)).tried) == 6
    assert len(passes) == before


def test_a_broken_picture_stops_no_other(ask, photos, monkeypatch):
    segment = attnscope.segment

    def failing(picture, *arguments, **settings):
        if picture.getpixel((0, 0)) == first:
            raise RuntimeError("it broke")
        return segment(picture, *arguments, **settings)

    first = Image.open(photos / "images/0.png").getpixel((0, 0))
    monkeypatch.setattr("attnscope.evaluation.job.segment", failing)
    made = ask(thresholds=0.06)
    assert made.failed == (("0", "RuntimeError: it broke"),)
    assert made.pictures == 4
    assert "1 pictures could not be segmented" in " ".join(made.notes)


def test_words_that_are_classes_give_named_scores(ask):
    made = ask(protocol="named", labels="classes", limit=2)
    assert list(made.scores) == ["named"]
    assert made.settings["labels"] == ["wall", "floor", "door"]
    with pytest.raises(ParameterError, match="needs words that are classes"):
        ask(protocol="named")


def test_settings_that_crop_are_told_from_the_preparation(ask):
    with pytest.raises(ParameterError, match="use preparation='diffseg', which crops both"):
        ask(crop=True, limit=1)


def test_a_model_that_is_not_there_is_one_error(photos, tmp_path):
    with pytest.raises(AttnscopeError, match="nowhere"):
        evaluate("folder", photos, model="/nowhere/at-all", output=tmp_path)


def test_a_job_is_plain_data(model, photos, tmp_path):
    job = EvaluationJob(
        open_dataset("folder", photos).first(1), str(tmp_path), model, settings={"thresholds": 0.05}
    )
    again = pickle.loads(pickle.dumps(job))
    (row,) = Loop().rows(again, again.items())
    assert row.error is None
    assert job.is_done(job.items()[0])


def test_what_is_asked_wrong_is_said_before_any_pass(ask, passes):
    for changes, said in (
        ({"protocol": "all"}, "protocol is 'all'"),
        ({"preparation": "mine"}, "preparation is 'mine'"),
        ({"limit": 9}, "limit is 9; expected 1 to 5"),
    ):
        with pytest.raises(AttnscopeError, match=said):
            ask(**changes)
    assert passes == []
    with pytest.raises(ParameterError, match="none of 5 pictures could be segmented; the first: .*colour"):
        ask(colour="red")


def test_searches_are_read():
    assert search_values("thresholds=0.3:1.2:0.1") == (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
    assert search_values("thresholds=0.3,0.9") == (0.3, 0.9)
    for wrong in (
        "0.3:1.2:0.1",
        "thresholds=1:0:0.1",
        "thresholds=0.3:0.5",
        "thresholds=0.1:1:0",
        "anchors=1",
    ):
        with pytest.raises(ParameterError, match="FIRST:LAST:STEP"):
            search_values(wrong)


def test_three_files_say_the_same_numbers(ask, tmp_path):
    made = ask(search=(0.3,))
    paths = save_evaluation(made, tmp_path / "report")
    assert [path.name for path in paths] == ["report.json", "report.md", "report.html"]
    told = json.loads(paths[0].read_text("utf-8"))
    page, lines = paths[2].read_text("utf-8"), paths[1].read_text("utf-8")
    for protocol, each in told["scores"].items():
        miou = f"{100 * each['miou']:.1f}"
        assert re.search(rf"\| {protocol} \| {miou} \(", lines)
        assert f"{miou} (" in page
    assert lines == markdown(made)
    assert page.count("<img") == 3
    assert "http" not in page.replace("http-equiv", "")
    with pytest.raises(AttnscopeError, match="exists already"):
        save_evaluation(made, tmp_path / "report")


@pytest.mark.thorough
def test_names_from_a_data_set_are_text_on_the_page(ask, photos):
    listed = photos / "classes.txt"
    before = listed.read_text()
    listed.write_text("<script>\nfloor\ndoor|gate\n")
    made = ask()
    listed.write_text(before)
    assert "<script>" not in evaluation_page(made)
    assert "door\\|gate" in markdown(made)


@pytest.mark.thorough
@pytest.mark.slow
def test_published_rows_stand_beside_their_data_set_alone(ask, photos):
    made = ask()
    assert made.published == ()
    known = open_dataset("folder", photos)
    made = evaluate(
        replace(known, name="cityscapes", whole=500),
        model=made.model,
        output=photos / "out",
        limit=5,
        resamples=0,
    )
    assert [row.miou for row in made.published] == [21.2, 16.8, 30.6]
    assert "Tian et al." in markdown(made)
    assert "Only 5 of 500 pictures" in markdown(made)


@pytest.mark.slow
def test_the_command_gives_what_the_library_gives(ask, model, photos, tmp_path, capsys):
    arguments = ["evaluate", "folder", photos, "-m", model, "-o", tmp_path / "cli", "-t", "0.05"]
    assert main([str(each) for each in [*arguments, "--search", "thresholds=0.1:0.2:0.1", "--json"]]) == 0
    told = json.loads(capsys.readouterr().out)
    expected = ask(resamples=1000, search=(0.1, 0.2)).to_dict()
    assert told["scores"] == json.loads(json.dumps(expected["scores"]))
    assert told["tried"] == expected["tried"]
    assert all((tmp_path / "cli" / name).is_file() for name in ("report.json", "report.md", "report.html"))
    assert main([str(each) for each in arguments]) == 1
    assert "--force" in capsys.readouterr().err
    assert main([str(each) for each in [*arguments, "--force"]]) == 0
    assert "per-image" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("voc2012",), 2, "needs its folder"),
        (("scenes:2", "--search", "thresholds"), 2, "FIRST:LAST:STEP"),
        (("scenes:2", "-t", "much"), 2, "expected numbers in nats, or auto"),
        (("scenes:2", "-o", "scores.html"), 2, "-o is a folder"),
    ],
)
def test_wrong_use_is_one_line(arguments, code, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", *arguments]) == code
    assert said in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray", "ignore::FutureWarning:ray")
def test_workers_count_what_one_process_counts(tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed")
    choices = {"model": "demo", "resamples": 20}
    alone = evaluate("scenes:3", output=tmp_path / "alone", **choices)
    beside = evaluate("scenes:3", output=tmp_path / "beside", engine=RayEngine(workers=2), **choices)
    said = [{**result.to_dict(), "seconds": 0, "kept_bytes": 0} for result in (alone, beside)]
    assert said[0] == said[1]
    assert not beside.failed

"""A studio for guests: nobody changes what another browser has begun, files are refused where the owner says so, and
only so many runs are kept."""

import io
import json
import zipfile

import pytest

from attnscope.demo.scenes import scene
from attnscope.errors import ParameterError
from attnscope.studio import create_app
from attnscope.testing.made_traces import made_trace
from studio_client import studio_of

ANNA, BEN = ({"attnscope-maker": name} for name in ("secret of Anna", "secret of Ben"))


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    """A trace as one zip."""
    folder = tmp_path_factory.mktemp("made") / "made.trace"
    made_trace(grids=((4, 4),), steps=1, heads=1).save(folder)
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
    return body.getvalue()


def brought(studio, trace, maker, name="brought"):
    answer = studio.client.post("/api/zips", params={"name": name}, content=trace, headers=maker)
    assert answer.status_code == 200, answer.text
    return answer.json()


def changes(studio, number, headers):
    """How it is answered to stop, to rename and to delete a run."""
    address = f"/api/runs/{number}"
    return [
        studio.client.post(f"{address}/stop", headers=headers).status_code,
        studio.client.patch(address, json={"name": "other"}, headers=headers).status_code,
        studio.client.delete(address, headers=headers).status_code,
    ]


def test_only_the_browser_that_began_a_run_changes_it(tmp_path, trace):
    with studio_of(tmp_path, "no/such-model", guests=True) as studio:
        run = brought(studio, trace, ANNA)
        for others in ({}, BEN, {"attnscope-maker": run["maker"]}):
            assert changes(studio, run["number"], others) == [403, 403, 403]
        refused = studio.client.delete(f"/api/runs/{run['number']}", headers=BEN).json()["error"]
        assert "somebody else's" in refused
        assert studio.run(run["number"])["name"] == "brought"
        assert changes(studio, run["number"], ANNA) == [200, 200, 204]
        assert studio.news()["runs"] == []


def test_a_picture_and_a_photo_are_their_makers(tmp_path):
    photo_file = io.BytesIO()
    scene(3).pil_image.save(photo_file, "PNG")
    with studio_of(tmp_path, guests=True) as studio:
        studio.ready()
        asked = {"prompt": "a tree", "steps": 200}
        picture = studio.client.post("/api/runs", json=asked, headers=ANNA).json()["number"]
        photo = studio.client.post(
            "/api/photos", params={"text": "a tree"}, content=photo_file.getvalue(), headers=BEN
        ).json()["number"]
        assert studio.client.post(f"/api/runs/{picture}/stop", headers=BEN).status_code == 403
        assert studio.client.post(f"/api/runs/{photo}/stop", headers=ANNA).status_code == 403
        assert studio.client.post(f"/api/runs/{picture}/stop", headers=ANNA).status_code == 200
        assert studio.over(picture)["state"] == "stopped"
        assert studio.over(photo)["state"] == "done"


def test_a_maker_is_known_after_a_new_start_and_nobody_owns_what_has_none(tmp_path, trace):
    with studio_of(tmp_path, "no/such-model") as studio:
        ownerless, own = brought(studio, trace, {})["number"], brought(studio, trace, ANNA)["number"]
    facts = json.loads(next(tmp_path.glob("0002-*/run.json")).read_text())
    assert "Anna" not in json.dumps(facts)
    with studio_of(tmp_path, "no/such-model", guests=True) as studio:
        assert changes(studio, ownerless, ANNA) == changes(studio, ownerless, {}) == [403, 403, 403]
        assert changes(studio, own, ANNA) == [200, 200, 204]


def test_without_guests_everybody_changes_everything(tmp_path, trace):
    with studio_of(tmp_path, "no/such-model") as studio:
        assert not studio.news()["guests"]
        assert changes(studio, brought(studio, trace, ANNA)["number"], BEN) == [200, 200, 204]


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("POST", "/api/photos?text=a+tree"),
        ("POST", "/api/zips"),
        ("POST", "/api/uploads"),
        ("PUT", "/api/uploads/key/manifest.json"),
        ("POST", "/api/uploads/key/done"),
    ],
)
def test_files_are_refused_where_the_owner_says_so(tmp_path, trace, method, address):
    with studio_of(tmp_path, "no/such-model", files=False) as studio:
        answer = studio.client.request(method, address, content=trace)
        assert (answer.status_code, answer.json()["error"]) == (
            403,
            "this studio takes no photos and no traces: start your own for them",
        )
        assert not studio.news()["files"]
        assert not list(tmp_path.iterdir())


def test_the_oldest_runs_make_room_for_new_ones(tmp_path, trace):
    with studio_of(tmp_path, keep=2) as studio:
        studio.ready()
        first = studio.made("a tree")["number"]
        frozen = [{"edit": "freeze", "run": first}]
        needing = studio.make("a house", steps=100, edits=frozen)["number"]
        third, fourth = (brought(studio, trace, {}, name)["number"] for name in "ab")
        kept = {run["number"] for run in studio.news()["runs"]}
        assert kept == {first, needing, third, fourth}  # the first is needed, and the second under way
        studio.client.post(f"/api/runs/{needing}/stop")
        studio.over(needing)
        last = brought(studio, trace, {}, "c")["number"]
        assert [run["number"] for run in studio.news()["runs"]] == [fourth, last]
        assert sorted(path.name for path in tmp_path.iterdir()) == [f"{fourth:04d}-b", f"{last:04d}-c"]


def test_a_studio_keeps_a_run_at_least(tmp_path):
    with pytest.raises(ParameterError, match="keep=0: expected 1 run or more, or None for all"):
        create_app(folder=tmp_path, keep=0)

"""The studio's queue and its runs: order, stopping, names, deletion, what is found again, a model that dies."""

import os
import signal
import subprocess
import sys
import time

import pytest

from studio_client import studio_of


def pid_of(studio):
    """Of the model's process."""
    return studio.client.app.state.studio.engine._process.process.pid


def test_pictures_wait_in_order_and_can_be_stopped(studio):
    first, second, third = (studio.make("a tree", steps=25)["number"] for _ in range(3))
    assert [studio.run(number)["place"] for number in (second, third)] == [1, 2]
    assert studio.client.post(f"/api/runs/{second}/stop").json()["state"] == "stopped"
    assert studio.run(third)["place"] == 1
    studio.until(lambda news: studio.run(first)["done"] >= 2)
    began = time.monotonic()
    studio.client.post(f"/api/runs/{first}/stop")
    stopped = studio.over(first)
    assert time.monotonic() - began < 2
    assert stopped["state"] == "stopped"
    trace = next(
        trace
        for trace in studio.client.get("/api/traces").json()["traces"]
        if trace["number"] == stopped["trace"]
    )
    assert 2 <= len(trace["steps"]) < 25  # what was kept so far can be looked at
    studio.client.post(f"/api/runs/{third}/stop")
    assert studio.over(third)["state"] == "stopped"


def test_a_full_queue_is_said(studio):
    numbers = [studio.make("a tree", steps=250)["number"] for _ in range(16)]
    refused = None
    while refused is None or refused.status_code == 200:
        refused = studio.client.post("/api/runs", json={"prompt": "a tree", "steps": 250})
        if refused.status_code == 200:
            numbers.append(refused.json()["number"])
    assert refused.status_code == 429
    assert "waiting already" in refused.json()["error"]
    for number in reversed(numbers):
        studio.client.post(f"/api/runs/{number}/stop")
    assert {studio.over(number)["state"] for number in numbers} == {"stopped"}


def test_a_run_is_renamed_and_deleted_with_its_files(studio):
    run = studio.made("a star")
    folder = next(studio.folder.glob(f"{run['number']:04d}-*"))
    address = f"/api/runs/{run['number']}"
    assert studio.client.patch(address, json={"name": "  my   star "}).json()["name"] == "my star"
    names = {trace["number"]: trace["name"] for trace in studio.client.get("/api/traces").json()["traces"]}
    assert names[run["trace"]] == "my star"
    assert studio.client.patch(address, json={"name": "  "}).status_code == 400
    assert studio.client.delete(address).status_code == 204
    assert not folder.exists()
    assert studio.client.get(f"/api/traces/{run['trace']}/picture").status_code == 404
    assert studio.client.delete(address).status_code == 404
    assert studio.made("a star")["number"] > run["number"]  # no number comes twice


def test_what_is_under_way_or_needed_is_not_deleted(studio):
    first = studio.made("a tree")["number"]
    frozen = [{"edit": "freeze", "run": first}]
    second = studio.make("a house", steps=30, edits=frozen)["number"]
    for number in (first, second):
        refused = studio.client.delete(f"/api/runs/{number}")
        assert refused.status_code == 429
        assert "stop it first" in refused.json()["error"]
    studio.client.post(f"/api/runs/{second}/stop")
    studio.over(second)


@pytest.mark.skipif(os.name != "posix", reason="kills by signal")
def test_a_model_that_dies_is_a_message_and_the_next_picture_starts_it_again(tmp_path):
    with studio_of(tmp_path) as studio:
        studio.ready()
        number = studio.make("a tree", steps=100)["number"]
        studio.until(lambda news: studio.run(number)["done"] >= 1)
        os.kill(pid_of(studio), signal.SIGKILL)
        run = studio.over(number)
        assert run["state"] == "failed"
        assert "killed by signal 9" in run["error"]
        assert studio.client.get("/api/traces").status_code == 200
        assert studio.made("a tree")["state"] == "done"


UNGUARDED = """
from fastapi.testclient import TestClient
from attnscope.studio import create_app
print("begun", flush=True)
with TestClient(create_app("no/such-model", folder=FOLDER), base_url="http://127.0.0.1") as client:
    news = client.get("/api/studio").json()
    while news["model"]["state"] in ("off", "loading"):
        news = client.get("/api/studio", params={"seen": news["count"]}).json()
    print(news["model"]["state"], news["model"]["error"])
"""


def test_a_script_without_a_guard_starts_one_studio(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED.replace("FOLDER", repr(str(tmp_path / "runs"))))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[0] == "begun"
    assert "no/such-model" in done.stdout.splitlines()[1]
    assert len(done.stdout.splitlines()) == 2
    assert "bootstrapping" not in done.stderr


def test_runs_are_found_again_and_what_did_not_end_says_so(tmp_path):
    with studio_of(tmp_path) as studio:
        studio.ready()
        done = studio.made("a tree", seed=5)
        open_run = studio.make("a house", steps=250)["number"]
    (tmp_path / "0007-other").mkdir()
    (tmp_path / "0008-broken").mkdir()
    (tmp_path / "0008-broken" / "run.json").write_text("{")
    with studio_of(tmp_path, "no/such-model") as studio:
        runs = {run["number"]: run for run in studio.news()["runs"]}
        assert set(runs) == {done["number"], open_run}
        assert runs[done["number"]]["asked"]["seed"] == 5
        assert runs[done["number"]]["trace"] is not None
        assert runs[open_run]["state"] == "stopped"
        assert "ended while this ran" in runs[open_run]["error"]


def test_a_model_that_can_not_be_loaded_is_said_with_the_reason(tmp_path):
    with studio_of(tmp_path, str(tmp_path / "no-model")) as studio:
        model = studio.ready()["model"]
        assert model["state"] == "failed"
        assert "no-model" in model["error"]
        run = studio.over(studio.make("a tree")["number"])
        assert run["state"] == "failed"
        assert "can't be loaded" in run["error"]

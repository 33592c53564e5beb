"""The Hugging Face Space: its start command, as the Dockerfile has it, and what its proxy and its visitors send."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

SPACE = Path(__file__).parents[1] / "integrations" / "space"
DOCKERFILE = (SPACE / "Dockerfile").read_text("utf-8")
HOST = "you-attnscope-studio.hf.space"
OF_THE_FRAME = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
OF_THE_PAGE = {"Sec-Fetch-Site": "same-origin", "Origin": f"https://{HOST}"}
PATIENCE_S = 120

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="the image has a shell, Windows has none"),
]


class Visitor:
    """A browser behind the Space's proxy."""

    def __init__(self, port):
        self.port = port

    def ask(self, path, headers=OF_THE_PAGE, *, host=HOST, body=None):
        """Status, headers and body of an answer."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            None if body is None else json.dumps(body).encode(),
            {"Host": host, "X-Forwarded-Host": host, "X-Forwarded-Proto": "https", **headers},
        )
        if body is not None:
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.headers, refusal.read()

    def until(self, is_so):
        """News of the studio, once they are as wanted."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            news = json.loads(self.ask("/api/studio")[2])
            if is_so(news):
                return news
            time.sleep(0.2)
        raise AssertionError(news)


@pytest.fixture(scope="module")
def visitor(tmp_path_factory):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = tmp_path_factory.mktemp("home")
    (home / "attnscope").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m attnscope "$@"\n')
    (home / "attnscope").chmod(0o755)
    known = {name: value for name, value in os.environ.items() if not name.startswith("ATTNSCOPE_")}
    environment = {
        **known,
        "HOME": str(home),
        "PATH": f"{home}:{os.environ['PATH']}",
        "PORT": str(port),
        "SPACE_HOST": HOST,
    }
    command = json.loads(re.search(r"^CMD (.*)$", DOCKERFILE, re.MULTILINE)[1])
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=SPACE, env=environment, **piped) as process:
        try:
            said = process.stdout.readline()
            assert said == f"https://{HOST}/\n", said
            yield Visitor(port)
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0


def test_the_page_may_stand_in_the_frame_of_its_site_and_asks_for_no_token(visitor):
    status, headers, page = visitor.ask("/", OF_THE_FRAME)
    assert (status, b"<html" in page) == (200, True)
    assert "frame-ancestors https://huggingface.co" in headers["Content-Security-Policy"]


def test_a_picture_is_made_and_kept_in_the_home_folder(visitor):
    visitor.until(lambda news: news["model"]["state"] == "ready")
    status, _, answer = visitor.ask("/api/runs", body={"prompt": "a red house and a tree", "steps": 2})
    assert status == 200, answer
    number = json.loads(answer)["number"]

    news = visitor.until(lambda news: news["runs"][0]["state"] not in ("waiting", "loading", "running"))
    assert [(run["number"], run["state"]) for run in news["runs"]] == [(number, "done")]
    assert Path(news["folder"]).parts[-2:] == ("home0", "runs")
    assert visitor.ask(f"/api/runs/{number}/card")[1]["Content-Type"] == "image/webp"


def test_visitors_bring_nothing_and_delete_nothing_of_others(visitor):
    number = json.loads(visitor.ask("/api/runs", body={"prompt": "a tree", "steps": 1})[2])["number"]
    assert visitor.ask(f"/api/runs/{number}/stop", body={})[0] == 403
    status, _, answer = visitor.ask("/api/uploads", body={})
    assert (status, b"no photos and no traces" in answer) == (403, True)


@pytest.mark.parametrize(
    ("headers", "host", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, HOST, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://other.hf.space"}, HOST, 403),
        ({}, "evil.example", 421),
    ],
)
def test_other_sites_are_refused(visitor, headers, host, status):
    assert visitor.ask("/api/studio", headers, host=host)[0] == status


def test_the_readme_tells_hugging_face_the_port_that_is_listened_on():
    front = (SPACE / "README.md").read_text("utf-8").split("---\n")[1]
    settings = dict(line.split(": ", 1) for line in front.splitlines())
    assert settings["sdk"] == "docker"
    assert len(settings["short_description"]) <= 60
    port = settings["app_port"]
    assert f"EXPOSE {port}\n" in DOCKERFILE
    assert f"${{PORT:-{port}}}" in (SPACE / "start.sh").read_text("utf-8")

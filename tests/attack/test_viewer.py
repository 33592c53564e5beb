"""A viewer that is asked by many who do not wait, of a trace that others replace meanwhile."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import threading
import time

import pytest
import uvicorn

from attnscope import places
from attnscope.testing.made_traces import made_trace
from attnscope.viewer.app import create_app

pytestmark = [pytest.mark.attack, pytest.mark.filterwarnings("ignore::ResourceWarning")]

LEFT_BEHIND = 100


class Viewer:
    """A real server in a thread."""

    def __init__(self, *traces):
        self.port = 0
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        config = uvicorn.Config(create_app(traces), log_level="critical", server_header=False)
        self._server, self._listening = uvicorn.Server(config), listening
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening]})

    def __enter__(self):
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_):
        self._server.should_exit = True
        self._thread.join()
        self._listening.close()

    def ask(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def leave(self, path):
        """Ask, and go before the answer."""
        asking = socket.create_connection(("127.0.0.1", self.port))
        asking.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n\r\n".encode())
        return asking


def place(number):
    return f"/api/traces/0/blocks?top={number / 1000}&left=0.5"


def test_questions_that_were_left_are_not_computed(attack, monkeypatch):
    computed = []

    def counted(trace, view, asked):
        computed.append(asked.top)
        yield from block_maps(trace, view, asked)

    block_maps = places.block_maps
    monkeypatch.setattr(places, "block_maps", counted)
    with Viewer(made_trace(grids=((48, 48), (24, 24)), heads=8, dim=40, steps=8)) as viewer:
        for round_number in attack.tries(3):
            left = [viewer.leave(place(100 * round_number + number)) for number in range(LEFT_BEHIND)]
            for asking in left:
                asking.close()
            status, _, _ = viewer.ask(place(998 - round_number))
            assert status == 200
            assert (998 - round_number) / 1000 in computed
            assert len(computed) - 1 < LEFT_BEHIND / 2, f"{len(computed) - 1} of {LEFT_BEHIND} were computed"
            computed.clear()
            attack.count("left ones dropped")


@pytest.mark.thorough
def test_a_trace_that_is_replaced_is_said_and_never_mixed(attack, tmp_path):
    for number in attack.tries(12):
        random = attack.random
        folder = made_trace(seed=number).save(tmp_path / f"{number}.trace")
        with Viewer(folder) as viewer:
            kept = viewer.ask("/api/traces/0/words?token=2&format=npz")
            assert kept[0] == 200
            change(folder, random, number)
            for path in (
                "/api/traces",
                "/api/traces/0/words?token=2&format=npz",
                place(3),
                "/api/traces/0/picture",
            ):
                status, headers, body = viewer.ask(path)
                assert status == 409, (path, status, body)
                assert "since the viewer opened it" in json.loads(body)["error"]
                assert headers["cache-control"] == "no-store"
                attack.count("said")


def change(folder, random, number):
    how = random.choice(
        ("replaced", "deleted", "moved", "a shard lost", "a shard cut", "a file in its place")
    )
    shard = random.choice(sorted(folder.glob("*.safetensors")))
    if how == "replaced":
        made_trace(seed=number + 500).save(folder, overwrite=True)
    elif how == "moved":
        folder.rename(folder.with_suffix(".elsewhere"))
    elif how == "a shard lost":
        shard.unlink()
    elif how == "a shard cut":
        contents = shard.read_bytes()
        shard.unlink()  # the one that is open stays whole
        shard.write_bytes(contents[: len(contents) // 2])
    else:
        shutil.rmtree(folder)
        if how == "a file in its place":
            folder.write_text("no trace")


ODD = (
    "", "\x00", "..", "../../etc/passwd", "%2e%2e%2f", "NaN", "inf", "-1", "1e400", "9" * 400, "0.5", "x" * 9000, "✓",
    "[]", "\r\nX: y", "0&step=99", "0&block=-1", "a:b", ":", "64:1,32:nan", "true",
)  # fmt: skip
NAMES = ("top", "left", "bottom", "right", "token", "block", "head", "step", "branch", "image", "format", "weights",
         "word", "threshold", "passes", "anchors", "preset")  # fmt: skip
QUESTIONS = (
    "place",
    "blocks",
    "heads",
    "words",
    "shares",
    "picture",
    "aggregate",
    "segments",
    "labels",
    "nothing",
)


def test_odd_questions_are_answered_or_refused_with_every_header(attack):
    from urllib.parse import quote

    with Viewer(made_trace()) as viewer:
        for _ in attack.tries(600):
            random = attack.random
            names = random.sample(NAMES, random.randrange(3))
            asked = {"top": "0.5", "left": "0.5", "token": "2", "threshold": "1"}
            asked |= {name: random.choice(ODD) for name in names}
            query = "&".join(f"{name}={quote(value)}" for name, value in asked.items())
            number = random.choice(("0", "0", "0", "0", "0", "0", "1", "-1", "x", "9" * 30))
            status, headers, body = viewer.ask(f"/api/traces/{number}/{random.choice(QUESTIONS)}?{query}")
            assert status in (200, 400, 404, 405, 409, 422), (status, body[:200])
            assert headers["x-content-type-options"] == "nosniff"
            assert "cache-control" in headers
            assert "server" not in headers
            assert status == 200 or list(json.loads(body)) == ["error"]
            attack.count("right" if status == 200 else "refused")

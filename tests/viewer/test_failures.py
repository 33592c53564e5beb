"""A viewer that fails or is ended: one sentence with the headers of every answer, and nothing left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest
from fastapi.testclient import TestClient

from attnscope.viewer.app import create_app

HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


def breaks():
    raise ZeroDivisionError("a secret of the machine")


async def breaks_half_way(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise ZeroDivisionError


def test_an_unexpected_failure_has_the_headers_of_other_answers(trace):
    app = create_app([trace])
    app.add_api_route("/api/broken", breaks)
    client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
    answer, other = client.get("/api/broken"), client.get("/api/traces")
    assert answer.status_code == 500
    assert answer.json() == {"error": "the viewer failed (ZeroDivisionError): its terminal says where"}
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    assert set(other.headers) <= set(answer.headers) | {"etag"}
    assert "server" not in answer.headers


def test_an_unexpected_failure_is_told_to_the_server(trace):
    app = create_app([trace])
    app.add_api_route("/api/broken", breaks)
    app.mount("/api/half", breaks_half_way)
    client = TestClient(app, base_url="http://127.0.0.1")
    for path in ("/api/broken", "/api/half/"):
        with pytest.raises(ZeroDivisionError):
            client.get(path)


@pytest.mark.thorough
@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_viewer_and_leaves_nothing(trace, tmp_path, number):
    folder, temporary = trace.save(tmp_path / "run.trace"), tmp_path / "tmp"
    temporary.mkdir()
    command = [sys.executable, "-m", "attnscope", "view", str(folder), "--no-browser"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # ignored where the tests run under nohup
    ) as process:
        address = process.stdout.readline().strip()
        with urllib.request.urlopen(address) as page:
            assert page.status == 200
        process.send_signal(number)
        try:
            _, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 128 + number
    assert "Traceback" not in err
    assert list(temporary.iterdir()) == []
    with socket.socket() as free:
        assert free.connect_ex(("127.0.0.1", int(address.rstrip("/").rpartition(":")[2]))) != 0

"""`attnscope view` as a person starts and ends it."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from attnscope.errors import ParameterError
from attnscope.viewer.serving import serve


@pytest.fixture(scope="module")
def folder(trace, tmp_path_factory):
    return trace.save(tmp_path_factory.mktemp("saved") / "run.trace")


def viewing(*arguments):
    command = [sys.executable, "-m", "attnscope", "view", *map(str, arguments), "--no-browser"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_it_says_its_address_answers_and_ends_quietly(folder):
    with viewing(folder) as process:
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(address) as page:
            assert b"<title>attnscope</title>" in page.read()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
        assert process.returncode == 0
        assert "Traceback" not in err


def test_beyond_this_machine_it_asks_for_a_token(folder):
    with viewing(folder, "--host", "0.0.0.0") as process:
        address = process.stdout.readline().strip()
        plain, token = address.split("?token=")
        assert len(token) > 16
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(plain)
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        assert opener.open(address).status == 200
        assert opener.open(plain + "api/traces").status == 200
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)


@pytest.mark.parametrize("wrong", ["nothing-there", "--port=99999999"])
def test_what_can_not_be_served_is_said(folder, wrong):
    with viewing(*([folder, wrong] if wrong.startswith("--") else [wrong])) as process:
        _, err = process.communicate(timeout=20)
    assert process.returncode in (1, 2)
    assert "Traceback" not in err
    assert err.strip()


def test_a_port_that_is_taken_is_said(folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ParameterError, match="choose another --host or --port"):
            serve(folder, port=taken.getsockname()[1], open_browser=False)


def test_an_address_that_is_not_this_machines_is_said(folder):
    with pytest.raises(ParameterError, match="can't listen on 203.0.113.7"):
        serve(folder, host="203.0.113.7", open_browser=False)


def test_in_a_notebook_it_goes_on_beside(folder):
    async def cell():
        addresses = []
        serve(folder, open_browser=False, ready=addresses.append)
        while not addresses:
            await asyncio.sleep(0.01)
        return await asyncio.to_thread(lambda: urllib.request.urlopen(addresses[0]).status)

    assert asyncio.run(cell()) == 200


def test_nothing_to_view_is_said():
    with pytest.raises(ParameterError, match="at least one"):
        serve()


@pytest.mark.thorough
@pytest.mark.parametrize("host", ["", " ", "[]"])
def test_an_empty_host_is_refused_and_opens_no_port(folder, host):
    with pytest.raises(ParameterError, match="expected an address of this machine, such as 127.0.0.1"):
        serve(folder, host=host, open_browser=False)
    with viewing(folder, "--host", host) as process:
        out, err = process.communicate(timeout=20)
    assert process.returncode == 2
    assert out == ""
    assert "expected an address of this machine" in err

"""`attnscope view` as a person starts and ends it."""

from __future__ import annotations

import asyncio
import re
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


@pytest.mark.parametrize(
    "address",
    ["hub.example.org/x/", "ftp://hub/", "https://", "https:///x/", "https://hub/?a=b", "https://hub/#a", "https://me@hub/",
     "https://hub:99999/", "https://[::1/", ""],
)  # fmt: skip
def test_an_address_that_no_proxy_can_have_is_refused(folder, address):
    with pytest.raises(ParameterError, match="expected the address where a proxy shows the viewer"):
        serve(folder, address=address, open_browser=False)


@pytest.mark.parametrize(
    "site", ["*", "huggingface.co", "https://a.b/c", "https://a; script-src *", "'self'", "https://a b"]
)
def test_a_site_that_is_none_may_not_frame(folder, site):
    with pytest.raises(ParameterError, match="expected a site without a path"):
        serve(folder, framed_by=[site], open_browser=False)


@pytest.mark.parametrize("token", ["", " "])
def test_an_empty_token_is_no_way_to_leave_it_out(folder, token):
    with pytest.raises(ParameterError, match="the token is empty"):
        serve(folder, token=token, open_browser=False)


def test_everybody_is_not_let_in_under_any_name(folder):
    with pytest.raises(
        ParameterError, match="without a token the viewer answers only to names that it knows"
    ):
        serve(folder, host="0.0.0.0", token=False, open_browser=False)
    with viewing(folder, "--no-token", "--token", "x") as process:
        _, err = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "contradict each other" in err


@pytest.mark.parametrize(
    ("more", "has_token"), [([], True), (["--no-token"], False), (["--token", "abc"], True)]
)
def test_behind_a_proxy_its_address_is_printed(folder, more, has_token):
    with viewing(folder, "--address", "https://hub.example.org/user/me/proxy/{port}", *more) as process:
        address = process.stdout.readline().strip()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    found = re.fullmatch(r"https://hub\.example\.org/user/me/proxy/(\d+)/(\?token=.+)?", address)
    assert 1 <= int(found[1]) < 65536
    assert bool(found[2]) == has_token

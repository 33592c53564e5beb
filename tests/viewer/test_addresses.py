"""Addresses for other machines, and their QR code."""

from __future__ import annotations

import ipaddress
import re
import socket
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from attnscope.cli import output
from attnscope.viewer import addresses
from attnscope.viewer.addresses import network_addresses
from attnscope.viewer.qr_codes import QUIET_ZONE, qr_code

HERE = "http://127.0.0.1:8756/?token=a-b_c"
INTERFACES = {
    socket.AF_INET: ["127.0.0.1", "192.168.1.7", "172.17.0.1", "169.254.3.4"],
    socket.AF_INET6: ["::1", "fe80::1", "2001:4860::7"],
}


@pytest.fixture
def machine(monkeypatch):
    """One with several interfaces, of which the docker one is not what it speaks to others with."""
    outward = {socket.AF_INET: ["192.168.1.7"], socket.AF_INET6: []}
    monkeypatch.setattr(addresses, "_of_interfaces", lambda family: INTERFACES[family])
    monkeypatch.setattr(addresses, "_outward", outward.__getitem__)
    monkeypatch.setattr(
        addresses, "_of_name", lambda family: ["127.0.1.1", "192.168.1.7"][: 2 * (family == 2)]
    )


def test_those_of_ipv4_are_reached_through_its_any(machine):
    assert network_addresses(HERE, "0.0.0.0") == [
        "http://192.168.1.7:8756/?token=a-b_c",
        "http://172.17.0.1:8756/?token=a-b_c",
    ]


def test_all_are_reached_through_that_of_ipv6(machine):
    assert network_addresses(HERE, "::") == [
        "http://192.168.1.7:8756/?token=a-b_c",
        "http://172.17.0.1:8756/?token=a-b_c",
        "http://[2001:4860::7]:8756/?token=a-b_c",
    ]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "192.168.1.7", "::1"])
def test_one_that_was_named_has_no_others(machine, host):
    assert network_addresses(HERE, host) == []


def test_the_machines_own_are_those_that_the_system_lists():
    """Against /proc, which the code does not read."""
    if not sys.platform.startswith("linux"):
        pytest.skip("reads Linux's /proc/net")
    lines = Path("/proc/net/fib_trie").read_text("ascii").splitlines()
    listed = {re.search(r"[\d.]+$", line)[0] for line, below in pairwise(lines) if "/32 host LOCAL" in below}
    inner = [ipaddress.ip_address(address) for address in listed]
    own = {str(address) for address in inner if not address.is_loopback and not address.is_link_local}
    assert set(addresses._own(socket.AF_INET)) == own
    assert set(addresses._of_interfaces(socket.AF_INET)) >= own
    lines = Path("/proc/net/if_inet6").read_text("ascii").splitlines()
    all_of_6 = {str(ipaddress.ip_address(bytes.fromhex(line.split()[0]))) for line in lines}
    assert set(addresses._of_interfaces(socket.AF_INET6)) == all_of_6


def test_a_system_that_can_not_be_asked_has_the_usual_ones(monkeypatch):
    def nothing(_):
        raise OSError

    monkeypatch.setattr(addresses.ctypes, "CDLL", nothing)
    assert list(addresses._of_interfaces(socket.AF_INET)) == []
    assert isinstance(network_addresses(HERE, "0.0.0.0"), list)


def modules_of(lines):
    """Dark modules as rows of 0 and 1, read off the drawn lines."""
    rows = []
    for line in lines:
        rows += [[int(letter in "▀█") for letter in line], [int(letter in "▄█") for letter in line]]
    return rows


def test_the_code_has_the_modules_of_the_address():
    segno = pytest.importorskip("segno", reason='needs segno: pip install "attnscope[viewer]"')
    drawn = modules_of(qr_code(HERE))
    code = segno.make(HERE, micro=False, error="l")
    inner = [row[QUIET_ZONE:-QUIET_ZONE] for row in drawn[QUIET_ZONE:]]
    assert inner[: len(code.matrix)] == [list(row) for row in code.matrix]
    assert not any(map(any, drawn[:QUIET_ZONE] + inner[len(code.matrix) :]))
    assert len(drawn[0]) < 60  # fits a terminal


def test_without_segno_there_is_no_code(monkeypatch):
    monkeypatch.setitem(sys.modules, "segno", None)
    assert qr_code(HERE) == []


class Screen:
    def __init__(self, **facts):
        self.is_terminal, self.encoding, self.color_system, self.width = True, "utf-8", "truecolor", 80
        vars(self).update(facts)
        self.lines = []

    def print(self, text, **_):
        self.lines.append((text.plain, str(text.style)))


@pytest.mark.parametrize(
    "lacking", [{"is_terminal": False}, {"encoding": "ascii"}, {"color_system": None}, {"width": 3}]
)
def test_a_code_is_shown_where_it_can_be_read(lacking, monkeypatch):
    able, unable = Screen(), Screen(**lacking)
    for screen, is_shown in ((able, True), (unable, False)):
        monkeypatch.setattr(output, "word_console", lambda screen=screen: screen)
        assert output.show_code(["▀▄█ ", "█▄▀ "]) is is_shown
        assert not output.show_code([])
    assert able.lines == [("▀▄█ ", "#000000 on #ffffff"), ("█▄▀ ", "#000000 on #ffffff")]
    assert unable.lines == []


def test_a_viewer_for_others_prints_where_they_find_it_and_keeps_its_token_out_of_its_words(trace, tmp_path):
    folder = trace.save(tmp_path / "run.trace")
    command = [sys.executable, "-m", "attnscope", "view", str(folder), "--no-browser", "--host", "0.0.0.0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        expected = [*addresses._own(socket.AF_INET), "127.0.0.1"]
        printed = [process.stdout.readline().strip() for _ in expected]
        process.terminate()
        _, words = process.communicate(timeout=20)
    hosts, tokens = zip(
        *(re.fullmatch(r"http://(.+):\d+/\?token=(.+)", line).groups() for line in printed), strict=True
    )
    assert list(hosts) == expected
    assert len({line.partition("://")[2].partition("/")[0].rpartition(":")[2] for line in printed}) == 1
    assert len(set(tokens)) == 1
    assert tokens[0] not in words

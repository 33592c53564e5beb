"""What reaches a terminal: text as text, letters that it has, and something within a second."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from screens import PROGRAM, in_a_terminal, on_screen

from attnscope.cli.terminal import shown
from attnscope.testing.made_traces import made_trace

HOSTILE = (
    "[/cat] [bold]dog[/] [link=http://x]y :cat: 赤い × \x1b[2J\x1b]0;title\x07 \x9b31m \u202eevil \ud83d"
)


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """A trace whose prompt and model try to act on the terminal, in a folder with such a name."""
    trace = made_trace()
    trace.run.prompts = [HOSTILE.replace("\ud83d", "")]
    trace.run.model = "[/x]\x1b[31mred"
    monkeypatch.chdir(tmp_path)
    return trace.save("[bold]猫\x1b[2J").name


def test_control_characters_and_missing_letters_become_escapes():
    assert shown("a\x1b[2J\n\x9b\u202e\ud800é") == r"a\x1b[2J\n\x9b\u202e\ud800é"
    assert shown("猫é×", "cp1252") == r"\u732bé×"
    assert shown("猫é", "ascii") == r"\u732b\xe9"
    assert shown("👍🏽 कमलों \u200d") == "👍🏽 कमलों \u200d"


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii", "cp437"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["info", "TRACE"],
        ["heatmap", "TRACE", "<start>", "-o", "maps"],
        ["heatmap", "TRACE", "[/dog]\x1b[2J"],
        ["info", "[/no]\x1b猫"],
        ["layers", "[/no]\x1b猫"],
        ["layers", "sd1", "--steps", "5"],
        ["layers", "sd1", "--size", "[/猫]"],
        ["layers", "--[/猫]"],
        ["segment", "[/no]\x1b猫.png"],
        ["segment", "TRACE", "-o", "out", "-t", "1"],
        ["export", "TRACE", "[/no]猫.txt"],
        ["export", "TRACE", "[/page]猫.html"],
        ["heatmap", "--help"],
        ["--help"],
    ],
    ids=lambda arguments: " ".join(arguments).encode("ascii", "replace").decode(),
)
def test_text_is_text_on_every_terminal(monkeypatch, hostile, arguments, encoding, model):
    given = [hostile if word == "TRACE" else word for word in arguments]
    given += ["--model", str(model)] if given[0] == "segment" else []
    code, out, err = on_screen(monkeypatch, given, encoding=encoding)
    assert code in (0, 1, 2)
    assert "unexpected" not in err
    assert not any(letter < " " and letter != "\n" for letter in out + err)
    assert not set(out + err) & set("\x7f\x9b\u202e")
    if given[0] == "info" and code == 0:
        assert "[/cat] [bold]dog[/] [link=http://x]y :cat:" in " ".join(out.split())
        assert any(f"[/x]{mark}[31mred" in out for mark in ("\ufffd", r"\ufffd"))
    if any("[/no]" in word for word in given):
        assert "[/no]" in err


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii"])
@pytest.mark.parametrize("arguments", [["info", "TRACE"], ["heatmap", "TRACE", "<start>", "-o", "maps"]])
def test_json_is_json_in_every_encoding_and_harmless(monkeypatch, hostile, arguments, encoding):
    given = [hostile if word == "TRACE" else word for word in arguments]
    code, out, _ = on_screen(monkeypatch, [*given, "--json"], encoding=encoding)
    assert code == 0
    assert not set(out) & set("\x1b\x9b\u202e\x7f")
    found = json.loads(out)
    if given[0] == "info":
        kept = HOSTILE.replace("\ud83d", "")
        assert found["prompts"] == [
            "".join("\ufffd" if letter in "\x1b\x07\x9b" else letter for letter in kept)
        ]
        assert found["folder"] == hostile


def test_streams_are_as_before_afterwards(monkeypatch):
    _, out, _ = on_screen(monkeypatch, ["layers", "猫"], encoding="ascii")
    assert (out, sys.stdout.errors, sys.stderr.errors) == ("", "strict", "strict")


def shell(line, **environment):
    program = " ".join(PROGRAM)
    done = subprocess.run(
        ["bash", "-c", line.replace("attnscope", program)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("line", "code", "out"),
    [
        ("attnscope layers sd1 --json | head -1", 0, "[\n"),
        ("attnscope layers sd1 | true; exit ${PIPESTATUS[0]}", 1, ""),
        ("attnscope --help | true", 0, ""),
        ("attnscope layers sd1 >&-", 0, ""),
        ("attnscope layers sd1 <&- | tail -1", 0, "One step in float16: Q and K 142 MB, P 2.93 GB.\n"),
        ("attnscope layers sd9 2>&-", 1, ""),
        ("attnscope layers sd9 >&- 2>&- <&-", 1, ""),
    ],
)
def test_closed_streams_and_readers_that_leave(line, code, out):
    assert shell(line) == (code, out, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has a disk that is always full")  # noqa: PTH110
def test_a_full_disk_is_said():
    code, _, err = shell("attnscope --version >/dev/full")
    assert (code, err) == (1, "attnscope: can't read or write the output: No space left on device\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({"PYTHONIOENCODING": "ascii"}, id="ascii"),
        pytest.param({"PYTHONIOENCODING": "cp1252"}, id="cp1252", marks=pytest.mark.thorough),
        pytest.param(
            {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, id="C", marks=pytest.mark.thorough
        ),
        pytest.param({"TERM": "dumb", "NO_COLOR": "1"}, id="dumb", marks=pytest.mark.thorough),
    ],
)
def test_a_real_terminal_shows_every_command(hostile, environment):
    for arguments in (["info", "."], ["heatmap", ".", "<start>", "-o", "../maps"], ["layers", "猫"]):
        os.chdir(hostile)
        code, _, out = in_a_terminal(arguments, **environment)
        os.chdir("..")
        assert code == (1 if arguments[0] == "layers" else 0), out
        assert b"Traceback" not in out
        assert b"unexpected" not in out
        if environment.get("PYTHONIOENCODING") == "ascii" or "LC_ALL" in environment:
            assert out.isascii()
        if "TERM" in environment:
            assert b"\x1b" not in out
            assert arguments[0] == "layers" or b"reading . ..." in out


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.parametrize(
    "command", ["layers", "info", "heatmap", "segment", "export", "generate", "demo", "view"]
)
def test_nothing_is_silent_for_a_second(made, model, command, tmp_path):
    """Loading torch and diffusers alone takes longer. It takes three tries on a machine that is busy otherwise."""
    arguments = {
        "layers": ["sd1", "--steps", "50"],
        "info": [made],
        "heatmap": [made, "cat", "-o", tmp_path],
        "segment": [made, "--model", model, "-o", tmp_path],
        "export": [made, tmp_path / "page.html"],
        "generate": ["a cat", "--model", model, "-n", "1", "-o", tmp_path / "made"],
        "demo": ["--model", tmp_path / "none", "-o", tmp_path / "demo"],
        "view": [tmp_path / "none"],
    }[command]
    for _ in range(3):
        force = ["--force"] if command in ("heatmap", "segment", "export", "generate") else []
        code, first, shown_bytes = in_a_terminal([command, *arguments, *force])
        assert code == (1 if "none" in str(arguments) else 0), shown_bytes
        if first < 1:
            return
    pytest.fail(f"{command} was silent for {first:.1f} s")

"""The command as a whole: help, exit codes, how errors look, how fast it answers."""

from __future__ import annotations

import os
import platform
import re
import signal
import subprocess
import sys

import pytest
import torch

from attnscope.cli import app as app_module
from attnscope.errors import ModelError
from attnscope.files import whole_file

COMMANDS = [command.name for command in app_module.app.registered_commands]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_an_example(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert re.search(rf"Examples?.*attnscope {command} ", " ".join(out.split())) or command == "demo"
    assert f"attnscope {command}" in out


def test_help_is_written_in_lines_of_the_screen(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    _, out, _ = run("doctor", "--help")
    line = next(line for line in out.splitlines() if "Prints versions" in line)
    assert "Each layer is tried with a real capture, on a tiny latent" in line


def test_help_lists_all_commands_and_where_to_start(run):
    assert {"demo", "layers", "generate", "heatmap", "segment", "info", "view", "export"} <= set(COMMANDS)
    code, out, _ = run("--help")
    assert code == 0
    assert all(command in out for command in COMMANDS)
    assert "attnscope demo" in out


def test_version(run):
    from attnscope import __version__

    code, out, err = run("--version")
    first, second = out.splitlines()
    assert (code, first, err) == (0, f"attnscope {__version__}", "")
    assert second.startswith(f"Python {platform.python_version()}, torch {torch.__version__}, diffusers ")


def test_help_is_fast_and_loads_nothing_heavy():
    code = (
        "import sys, time; from attnscope.cli import main; main(['--help']); print(time.process_time(), "
        "[name for name in ('torch', 'numpy', 'diffusers', 'PIL') if name in sys.modules], file=sys.stderr)"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True) for _ in range(3)]
    said = [run.stderr.strip().split(maxsplit=1) for run in runs]
    assert {loaded for _, loaded in said} == {"[]"}
    assert min(float(seconds) for seconds, _ in said) < 1.0  # of the process; slower on shared cores


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["layers", "--nonsense"], ["info"], ["layers", "sd1", "--batch", "x"]]
)
def test_wrong_use_is_exit_code_2(run, arguments):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err


def test_an_error_is_one_line_on_stderr(run):
    code, out, err = run("layers", "sd9")
    assert (code, out) == (1, "")
    assert err.startswith("attnscope: no model 'sd9'")
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--debug", "layers", "sd9"], ["layers", "sd9", "--debug"]])
def test_debug_shows_the_trace(run, arguments):
    _, _, err = run(*arguments)
    assert "Traceback" in err
    assert "ModelError" in err


def test_a_surprise_is_one_line_too(run, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(app_module.layers, "layers", broken)
    code, out, err = run("layers", "sd1")
    assert (code, out) == (1, "")
    assert (
        err == "attnscope: unexpected ZeroDivisionError: by nothing (run again with --debug to see where)\n"
    )


def test_an_interrupt_is_no_traceback(run, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(app_module.layers, "layers", interrupted)
    code, out, err = run("layers", "sd1")
    assert code not in (0, 2)
    assert out == ""
    assert "Traceback" not in err


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_a_command_as_an_interrupt_does(run, monkeypatch, tmp_path, number, code):
    def ended(*_, **__):
        with whole_file(tmp_path / "x"):
            signal.raise_signal(number)
            signal.raise_signal(number)  # as `timeout` does: no second interrupt while it clears up

    def twice(*_, **__):
        try:
            ended()
        finally:
            signal.raise_signal(number)
            (tmp_path / "cleared").touch()

    monkeypatch.setattr(app_module.layers, "layers", twice)
    before = signal.signal(number, signal.SIG_DFL)  # ignored where the tests run under nohup
    try:
        assert run("layers", "sd1") == (code, "", "")
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert [path.name for path in tmp_path.iterdir()] == ["cleared"]


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_a_signal_that_is_ignored_stays_ignored(run, monkeypatch):
    def hang_up(*_, **__):
        signal.raise_signal(signal.SIGHUP)
        raise ModelError("went on")

    monkeypatch.setattr(app_module.layers, "layers", hang_up)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        assert run("layers", "sd1") == (1, "", "attnscope: went on\n")
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_message_with_brackets_and_line_ends_stays_whole(run, monkeypatch):
    def broken(*_, **__):
        raise ModelError("[bold]two\nlines[/] and [1, 2]")

    monkeypatch.setattr(app_module.layers, "layers", broken)
    assert run("layers", "sd1")[2] == "attnscope: [bold]two lines[/] and [1, 2]\n"

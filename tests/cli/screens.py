"""Runs of one command as a terminal would see it: its width, its letters, its streams."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import time

from attnscope.cli import main

PROGRAM = [sys.executable, "-m", "attnscope"]


class Stream(io.TextIOWrapper):
    """What a command prints, in the letters of one encoding, in strict mode as Python's own stdout has it."""

    def __init__(self, encoding):
        super().__init__(io.BytesIO(), encoding=encoding, errors="strict", newline="")

    @property
    def text(self):
        self.flush()
        return self.buffer.getvalue().decode(self.encoding)


def on_screen(monkeypatch, arguments, *, columns=None, encoding="utf-8"):
    """(exit code, stdout, stderr) of a command in this process."""
    out, err = Stream(encoding), Stream(encoding)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", str(columns))
    code = main([str(argument) for argument in arguments])
    return code, out.text, err.text


def in_a_terminal(arguments, **environment):
    """(exit code, seconds to the first byte, everything that was shown) of a command in a terminal of its own."""
    ours, theirs = pty.openpty()
    began = time.monotonic()
    running = subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80", **environment},
    )
    os.close(theirs)
    shown, first = b"", None
    while True:
        try:
            part = os.read(ours, 1 << 16)
        except OSError:  # Linux's way to say that the other end was closed
            part = b""
        if not part:
            break
        first = time.monotonic() - began if first is None else first
        shown += part
    os.close(ours)
    return running.wait(), first, shown

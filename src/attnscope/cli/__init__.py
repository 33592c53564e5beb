"""The command line: `attnscope COMMAND`."""

from attnscope.cli.app import main

__all__ = ["main"]

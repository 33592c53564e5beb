"""Where the command line's output goes: data to stdout, words to stderr, files that are not overwritten."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from attnscope.errors import OutputError

_WIDE = 200  # columns of a table that goes into a pipe or a file, where nothing needs to fit a screen


def data_console() -> Console:
    """For tables and other results."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else _WIDE, highlight=False)


def word_console() -> Console:
    """For messages and progress."""
    return Console(file=sys.stderr, highlight=False, soft_wrap=True)


def print_data(text: str) -> None:
    """Print text to stdout as it is: no wrapping, no colour.

    Args:
        text: The text.
    """
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def print_json(value: Any) -> None:
    """Print JSON to stdout. Each object of a list has a line of its own.

    Args:
        value: Plain values.
    """
    if isinstance(value, list) and value:
        lines = ",\n".join(json.dumps(item, ensure_ascii=False) for item in value)
        print_data(f"[\n{lines}\n]")
    else:
        print_data(json.dumps(value, ensure_ascii=False, indent=2))


def plain_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: str | None = None
) -> Group:
    """A title over a table with a line under its head, and an empty line.

    Args:
        title: The title.
        columns: Names of the columns. Without names the table has no head.
        rows: The cells, as text.
        right: Name of the column that is aligned to the right.
    """
    head = any(columns)
    table = Table(box=SIMPLE_HEAD, show_edge=False, show_header=head, padding=(0, 1, 0, 0), pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=True, justify="right" if column == right else "left")
    for row in rows:
        table.add_row(*row)
    return Group(Text(title, style="bold"), table, "")


def say(message: str) -> None:
    """Print a message to stderr.

    Args:
        message: The message.
    """
    word_console().print(message, markup=False)


def say_wrote(path: Path) -> None:
    """Say that a file was written.

    Args:
        path: The file.
    """
    say(f"wrote {path}")


def say_error(message: str) -> None:
    """Print an error as one line, whatever the message holds.

    Args:
        message: The message.
    """
    _say_line("[bold red]attnscope:[/] ", message)


def say_warning(message: str) -> None:
    """Print a warning as one line.

    Args:
        message: The message.
    """
    _say_line("[yellow]attnscope: warning:[/] ", message)


def _say_line(head: str, message: str) -> None:
    console = word_console()
    console.print(head, end="")
    console.print(" ".join(message.split()), markup=False)


@contextmanager
def progress() -> Iterator[Progress]:
    """Bars on stderr that are gone when the work is done; nothing when stderr is no terminal."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = word_console()
    hidden = not console.is_terminal
    bars = Progress(*columns, TimeElapsedColumn(), console=console, transient=True, disable=hidden)
    with nullcontext() if hidden else bars:  # rich before 14.3 ends hidden bars with an empty line
        yield bars


def counted(bars: Progress, what: str) -> Callable[[int, int], None]:
    """A bar for work that tells how far it is, as progress(done, total).

    Args:
        bars: Where it is drawn.
        what: The work.
    """
    task = bars.add_task(what, total=None)
    return lambda done, total: bars.update(task, completed=done, total=total)


def refuse_overwriting(*paths: Path, force: bool) -> None:
    """Refuse to write where something is.

    Args:
        paths: Files, and folders that must be empty.
        force: Overwrite after all.

    Raises:
        OutputError: One of them is there already.
    """
    for path in paths:
        taken = path.exists() and (not path.is_dir() or any(path.iterdir()))
        if taken and not force:
            raise OutputError(f"{path} exists already; name another place, or overwrite it with --force")

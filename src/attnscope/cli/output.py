"""Where the command line's output goes: data to stdout, words to stderr, files that are not overwritten."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from attnscope.cli.terminal import HIDDEN, shown, word_console
from attnscope.files import check_free
from attnscope.files.plain import finite

if TYPE_CHECKING:
    from PIL.Image import Image


def print_data(text: str) -> None:
    """Print text to stdout, line by line: no wrapping, no colour.

    Args:
        text: The text.
    """
    lines = text.removesuffix("\n").split("\n")
    sys.stdout.write("".join(f"{shown(line, sys.stdout.encoding)}\n" for line in lines))


def print_json(value: Any) -> None:
    """Print JSON to stdout. Each object of a list has a line of its own.

    Args:
        value: Plain values.
    """
    if isinstance(value, list) and value:
        lines = ",\n".join(_json(item) for item in value)
        sys.stdout.write(f"[\n{lines}\n]\n")
    else:
        sys.stdout.write(_json(value, indent=2) + "\n")


def _json(value: Any, indent: int | None = None) -> str:
    """Letters as they are where stdout has them all; what would act on a terminal as JSON's own escapes."""
    is_utf = (sys.stdout.encoding or "utf-8").lower().startswith("utf")
    text = json.dumps(finite(value), ensure_ascii=not is_utf, indent=indent, allow_nan=False)
    return HIDDEN.sub(lambda found: found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text)


def say(message: str) -> None:
    """Print a message to stderr as one line.

    Args:
        message: The message.
    """
    _say_line("", "", message)


def say_wrote(path: Path) -> None:
    """Say that a file was written.

    Args:
        path: The file.
    """
    say(f"wrote {path}")


def show_code(lines: list[str]) -> bool:
    """Show a QR code on stderr, and say whether it could be: a terminal has to have room and letters for it.

    Args:
        lines: As `qr_code` gives them.
    """
    console = word_console()
    fits = console.is_terminal and console.encoding.startswith("utf") and console.color_system is not None
    if not lines or not fits or console.width < len(lines[0]):
        return False
    for line in lines:
        console.print(Text(line, style="#000000 on #ffffff"), soft_wrap=True)
    return True


def save_picture(image: Image, path: Path) -> None:
    """Write a picture, and say so.

    Args:
        image: The picture.
        path: Its file.
    """
    from attnscope.pictures.writing import write_picture

    write_picture(image, path)
    say_wrote(path)


def say_error(message: str) -> None:
    """Print an error as one line, whatever the message holds.

    Args:
        message: The message.
    """
    _say_line("attnscope:", "bold red", " ".join(message.split()))


def say_warning(message: str) -> None:
    """Print a warning as one line.

    Args:
        message: The message.
    """
    _say_line("attnscope: warning:", "yellow", " ".join(message.split()))


def _say_line(head: str, style: str, message: str) -> None:
    console = word_console()
    line = Text(head, style=style).append(" " if head else "", style="none")
    console.print(line.append(shown(message, console.encoding), style="none"), soft_wrap=True)


@contextmanager
def working(what: str) -> Iterator[None]:
    """A spinner on stderr while something takes its time, gone when it is done. Don't use it inside `progress`.

    Args:
        what: The work.
    """
    console = word_console()
    text = shown(what, console.encoding)
    if console.is_dumb_terminal:
        say(f"{text} ...")
    with console.status(Text(text), spinner=_spinner(console)):
        yield


@contextmanager
def progress(what: str = "") -> Iterator[Progress]:
    """Bars on stderr that are gone when the work is done; nothing when stderr is no terminal.

    Args:
        what: The work, for a terminal that can't draw bars.
    """
    console = word_console()
    if console.is_dumb_terminal and what:
        say(f"{what} ...")
    columns = (
        SpinnerColumn(_spinner(console)),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
    )
    hidden = not console.is_terminal
    bars = Progress(*columns, TimeElapsedColumn(), console=console, transient=True, disable=hidden)
    with nullcontext() if hidden else bars:  # rich before 14.3 ends hidden bars with an empty line
        yield bars


def _spinner(console: Console) -> str:
    return "dots" if console.encoding.startswith("utf") else "line"


def counted(bars: Progress, what: str) -> Callable[[int, int], None]:
    """A bar for work that tells how far it is, as progress(done, total).

    Args:
        bars: Where it is drawn.
        what: The work.
    """
    task = bars.add_task(what, total=None)
    return lambda done, total: bars.update(task, completed=done, total=total)


def refuse_overwriting(*files: Path, folders: Iterable[Path] = (), force: bool) -> None:
    """Refuse to write where something is: all the files of a command, before anything is computed.

    Args:
        files: The very files that will be written.
        folders: Folders that will be made, and must be new or empty.
        force: Overwrite after all.

    Raises:
        OutputError: One of them is there already, or can't be written.
    """
    remedy = "name another place, or overwrite with --force"
    check_free(files, folders=folders, overwrite=force, remedy=remedy)

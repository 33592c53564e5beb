"""Tables that keep every number on a screen of any width: columns that do not fit go on below."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from attnscope.cli.terminal import shown

_GAP = 2  # columns of the screen between two of the table
_MOST_OF_SCREEN = 0.6  # that the first column may take without being folded


class PlainTable:
    """A title over a table with a line under its head, and an empty line.

    Nothing is cut. Where the screen is too narrow for all columns, the others follow in a table of their own, which
    begins with the first columns again; only a text that is too wide by itself goes on in the next line.

    Args:
        title: The title.
        columns: Names of the columns. Without names the table has no head.
        rows: The cells, as text.
        right: Name of the column that is aligned to the right.
    """

    def __init__(
        self, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: str | None = None
    ) -> None:
        self._title, self._columns, self._right = title, columns, right
        self._rows = [list(row) for row in rows]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        encoding = console.encoding
        rows = [[shown(cell, encoding) for cell in row] for row in self._rows]
        widths = [
            max(map(cell_len, (name, *(row[at] for row in rows)))) for at, name in enumerate(self._columns)
        ]
        yield Text(shown(self._title, encoding), style="bold", overflow="fold")
        screen = options.max_width
        for columns, limits in _parts(_leading(rows, widths, screen), widths, screen):
            yield self._part(rows, columns, limits)
            yield ""

    def _part(self, rows: list[list[str]], columns: list[int], limits: list[int]) -> Table:
        table = Table(
            box=SIMPLE_HEAD,
            show_edge=False,
            show_header=any(self._columns),
            padding=(0, 1, 0, 0),
            pad_edge=False,
        )
        for at, limit in zip(columns, limits, strict=True):
            name = self._columns[at]
            table.add_column(
                Text(name),
                justify="right" if name == self._right else "left",
                max_width=limit,
                overflow="fold",
            )
        for row in rows:
            table.add_row(*(Text(row[at]) for at in columns))
        return table


def _leading(rows: Sequence[Sequence[str]], widths: Sequence[int], screen: int) -> list[int]:
    """Widths of the first columns that say which row is meant. They stand in every part."""
    for count in range(1, len(widths)):
        if len({tuple(row[:count]) for row in rows}) == len(rows):
            leading = list(widths[:count])
            if sum(leading) + _GAP * (count - 1) <= _MOST_OF_SCREEN * screen:
                return leading
            break
    return [widths[0] if widths[0] <= _MOST_OF_SCREEN * screen else max(1, screen // 2)]


def _parts(
    leading: Sequence[int], widths: Sequence[int], screen: int
) -> Iterator[tuple[list[int], list[int]]]:
    """Numbers of the columns of each part, and the most that each of them may take."""
    room = max(1, screen - sum(leading) - _GAP * len(leading))
    parts: list[list[int]] = [[]]
    for at in range(len(leading), len(widths)):
        if parts[-1] and sum(min(widths[n], room) + _GAP for n in (*parts[-1], at)) > room + _GAP:
            parts.append([])
        parts[-1].append(at)
    for part in parts:
        yield [*range(len(leading)), *part], [*leading, *(min(widths[n], room) for n in part)]

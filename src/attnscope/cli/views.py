"""`attnscope heatmap`'s other views: one word less another, each head by itself, each step by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attnscope.cli.output import counted, progress, say_wrote
from attnscope.cli.targets import map_files, view_files
from attnscope.cli.word_maps import Reading, Shown, compute_maps, read_words
from attnscope.errors import ParameterError
from attnscope.files.names import file_names

if TYPE_CHECKING:
    from attnscope.heatmap.difference import MapDifference
    from attnscope.heatmap.head_grid import HeadGrid
    from attnscope.heatmap.result import HeatMap
    from attnscope.records import TokenSpan
    from attnscope.trace.trace import Trace

Minus = Annotated[
    str | None,
    typer.Option(
        "--minus",
        metavar="WORD",
        help="Show where each word has more attention than this one, and where less.",
    ),
]
MinusTrace = Annotated[
    Path | None,
    typer.Option(
        "--minus-trace",
        metavar="TRACE",
        help="Subtract from the same word of this trace, or from its --minus.",
    ),
]
Grid = Annotated[
    bool, typer.Option("--grid", help="Each head of each block separately, on one page: WORD.heads.png.")
]
Animate = Annotated[
    bool,
    typer.Option("--animate", help="The steps one after another: WORD.gif, or -o WORD.mp4."),
]
Mp4 = Annotated[bool, typer.Option("--mp4", help="--animate as WORD.mp4.")]
Seconds = Annotated[
    float | None, typer.Option("--seconds", help="How long --animate shows each step; 0.2 by default.")
]
SECONDS = 0.2
Word = tuple["Trace", "TokenSpan"]
_PAGES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class View:
    """How words are shown.

    Attributes:
        minus: The word that is taken from each, None for none.
        minus_trace: The trace whose word is taken from each, None for none.
        grid: Each head of each block by itself.
        animate: Each step by itself.
        mp4: As MP4.
        seconds: How long each step is shown.
    """

    minus: str | None
    minus_trace: Path | None
    grid: bool
    animate: bool
    mp4: bool
    seconds: float | None

    @property
    def name(self) -> str:
        """'maps', 'difference', 'heads' or 'steps'."""
        views = {"difference": self._is_difference, "heads": self.grid, "steps": self.animate or self.mp4}
        return next((name for name, is_asked in views.items() if is_asked), "maps")

    @property
    def _is_difference(self) -> bool:
        return self.minus is not None or self.minus_trace is not None

    def check(self, others: Mapping[str, Any]) -> None:
        """Refuse what does not go together.

        Args:
            others: Options that not every view has, with their values.

        Raises:
            ParameterError: Two views are asked for, or a view has no such option.
        """
        asked = {"--minus": self._is_difference, "--grid": self.grid, "--animate": self.animate or self.mp4}
        if len(several := [name for name, is_asked in asked.items() if is_asked]) > 1:
            raise ParameterError(f"{' and '.join(several)} are different views: ask for one at a time")
        if self.seconds is not None and self.name != "steps":
            raise ParameterError(f"--seconds {self.seconds:g} is for --animate: add it, or leave this out")
        if self.name == "steps":
            _check_seconds(self.seconds)
        if self.name not in ("heads", "steps"):
            return
        for option, value in others.items():
            if value:
                raise ParameterError(f"{option} is not for {several[0]}: leave it out")

    def files(self, output: Path, words: Sequence[str], *, drawn: bool) -> list[Path]:
        """A file for each word.

        Args:
            output: What -o was given.
            words: The words.
            drawn: Whether there is a picture to draw on.

        Raises:
            ParameterError: -o is one file for several words, or has another ending.
        """
        if self.name == "heads":
            return view_files(output, file_names(words), ".heads.png", _PAGES)
        if self.name == "steps":
            return self._moving_files(output, words)
        if self.name == "difference":
            less = words if self.minus is None else [f"{word} less {self.minus}" for word in words]
            return map_files(output, file_names(less), drawn=drawn, kind="difference")
        return map_files(output, file_names(words), drawn=drawn)

    def _moving_files(self, output: Path, words: Sequence[str]) -> list[Path]:
        from attnscope.pictures.moving import check_ending

        endings = (".mp4",) if self.mp4 else (".gif", ".mp4")
        files = view_files(output, file_names(words), endings[0], endings)
        for file in files:
            check_ending(str(file), file.suffix.lower())
        return files


def write_view(
    view: View,
    opened: Trace,
    readings: Sequence[Reading],
    files: Sequence[Path],
    choice: dict[str, Any],
    asked: dict[str, Any],
) -> Shown:
    """Write what a view shows of each word.

    Args:
        view: Any but 'maps'.
        opened: The trace.
        readings: The words.
        files: A file for each.
        choice: Of `attnscope.heat_maps`; and `same_scale` and `numbers` of the command.
        asked: As for `read_words`.

    Returns:
        What is printed.
    """
    same_scale, numbers = choice.pop("same_scale"), choice.pop("numbers")
    if view.name == "difference":
        taken = _taken(view, opened, readings, choice, asked)
        return _write_differences(readings, taken, files, choice, same_scale=same_scale, numbers=numbers)
    choice.pop("preset")
    words = [(trace, span) for trace, spans in readings for span in spans]
    if view.name == "heads":
        return _write_heads(words, files, choice)
    return _write_steps(words, files, choice, SECONDS if view.seconds is None else view.seconds)


def _check_seconds(seconds: float | None) -> None:
    from attnscope.pictures.moving import check_seconds

    check_seconds(SECONDS if seconds is None else seconds, "--seconds")


def _write_differences(
    readings: Sequence[Reading],
    taken: Sequence[HeatMap],
    files: Sequence[Path],
    choice: dict[str, Any],
    *,
    same_scale: bool,
    numbers: bool,
) -> Shown:
    from attnscope.heatmap.difference import difference
    from attnscope.pictures.writing import write_picture

    maps, spans = compute_maps(readings, choice), [span for _, of_text in readings for span in of_text]
    less = [difference(heat, other) for heat, other in zip(maps, cycle(taken), strict=False)]
    largest = max(each.largest for each in less) if same_scale else None
    for each, file in zip(less, files, strict=True):
        if file.suffix.lower() != ".npy":
            write_picture(each.overlay(largest=largest), file)
            say_wrote(file)
        if numbers or file.suffix.lower() == ".npy":
            say_wrote(each.save(file.with_suffix(".npy"), overwrite=True))
    objects = [_difference_object(*each) for each in zip(less, spans, files, strict=True)]
    rows = [
        (each.title, f"{entry['mean']:.4f}", f"{entry['minimum']:.4f}", f"{entry['maximum']:.4f}")
        for each, entry in zip(less, objects, strict=True)
    ]
    return Shown(objects, "More and less attention", ("Words", "Mean", "Minimum", "Maximum"), rows)


def _taken(
    view: View, opened: Trace, readings: Sequence[Reading], choice: dict[str, Any], asked: dict[str, Any]
) -> list[HeatMap]:
    """The maps that are taken from the words': one for all of them, or one for each."""
    other = opened if view.minus_trace is None else _only_pass(view.minus_trace)
    if view.minus is not None:  # its first occurrence, whichever one of the other words is meant
        return compute_maps(read_words(other, [view.minus], **{**asked, "occurrence": 0}), choice)
    names = [span.word for _, of_text in readings for span in of_text]
    return compute_maps(read_words(other, names, **asked), choice)


def _only_pass(folder: Path) -> Trace:
    from attnscope.trace.files import load_trace

    trace = load_trace(folder)
    if len(trace.passes) > 1:
        raise ParameterError(
            f"--minus-trace {folder} has {len(trace.passes)} passes: save the one you mean on its own, "
            f"attnscope.load_trace({str(folder)!r}).passes[0].save('one.trace')"
        )
    return trace


def _difference_object(less: MapDifference, span: TokenSpan, file: Path) -> dict[str, Any]:
    return {
        "word": span.word,
        "tokens": list(span.tokens),
        "minus": less.words[1],
        "mean": float(less.array.mean()),
        "minimum": float(less.array.min()),
        "maximum": float(less.array.max()),
        "grid": list(less.array.shape),
        "file": str(file),
    }


def _write_heads(words: Sequence[Word], files: Sequence[Path], choice: dict[str, Any]) -> Shown:
    from attnscope.heatmap.head_grid import head_grid

    objects, rows = [], []
    for (trace, span), file in zip(words, files, strict=True):
        grid = head_grid(trace, span, **choice)
        say_wrote(grid.save(file, overwrite=True))
        objects.append(_heads_object(grid, span, file))
        share, block, head = max(
            (entry["share"], entry["block"], entry["head"]) for entry in objects[-1]["heads"]
        )
        rows.append((span.word, str(block), str(head), f"{share:.4f}"))
    return Shown(objects, "Where each word is looked up most", ("Word", "Block", "Head", "Mean share"), rows)


def _heads_object(grid: HeadGrid, span: TokenSpan, file: Path) -> dict[str, Any]:
    heads = [
        {"block": layer.block, "kind": layer.kind, "head": head, "share": float(values.mean())}
        for layer, numbers, maps in zip(grid.layers, grid.heads, grid.maps, strict=True)
        for head, values in zip(numbers, maps, strict=True)
    ]
    return {"word": span.word, "tokens": list(span.tokens), "heads": heads, "file": str(file)}


def _write_steps(
    words: Sequence[Word], files: Sequence[Path], choice: dict[str, Any], seconds: float
) -> Shown:
    from attnscope.heatmap.over_steps import write_steps

    objects, rows = [], []
    for (trace, span), file in zip(words, files, strict=True):
        with progress("steps") as bars:
            tell = counted(bars, f"steps of {span.word}")
            maps = write_steps(trace, span, file, seconds=seconds, progress=tell, **choice)
        say_wrote(file)
        steps = [_step_object(step, heat) for step, heat in maps.items()]
        objects.append({"word": span.word, "tokens": list(span.tokens), "steps": steps, "file": str(file)})
        largest = max(steps, key=lambda entry: entry["maximum"])
        rows.append((span.word, str(len(steps)), f"{largest['maximum']:.4f}", str(largest["step"])))
    return Shown(objects, "Each word over the steps", ("Word", "Steps", "Maximum", "In step"), rows)


def _step_object(step: int, heat: HeatMap) -> dict[str, Any]:
    return {
        "step": step,
        "mean": float(heat.array.mean()),
        "maximum": float(heat.array.max()),
        "peak": list(heat.peak),
    }

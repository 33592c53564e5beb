"""Heat maps of words for commands: which words are meant, their files and their JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from attnscope.cli.open_words import readings_of
from attnscope.cli.output import counted, progress, say_wrote
from attnscope.errors import ParameterError, WordError

if TYPE_CHECKING:
    from attnscope.heatmap.result import HeatMap
    from attnscope.records import TokenSpan
    from attnscope.trace.trace import Trace

Reading = tuple["Trace", Sequence["TokenSpan"]]
"""A trace, and the tokens of words that it has a text for."""


class Shown(NamedTuple):
    """What a command prints.

    Attributes:
        objects: For --json.
        title: Of the table.
        columns: Their names.
        rows: The table's cells, as text.
    """

    objects: list[dict[str, Any]]
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def read_words(
    trace: Trace,
    words: Sequence[str] | None,
    *,
    kind: str,
    branch: str,
    image: int,
    occurrence: int,
    open_words: bool,
    context: str | None,
    model: dict[str, Any],
) -> list[Reading]:
    """The words that are meant: of the prompt, of an adapter's pictures, or any.

    Args:
        trace: A trace of one pass.
        words: Words or phrases. None: all.
        kind: As for `attnscope.heat_map`.
        branch: Guidance branch, whose own text is meant.
        image: Which image of the batch, from 0.
        occurrence: Which one of several such words, from 0; -1 is the last.
        open_words: Words need not be in the prompt.
        context: A text that has them, None for each by itself.
        model: As for `load`.

    Returns:
        The trace as each text reads it; of the prompt it is the trace itself.

    Raises:
        ParameterError: A context is given for words of the prompt.
        WordError: The text lacks a word.
        SelectionError: The trace lacks something that was chosen.
    """
    from attnscope.heatmap.picture_keys import picture_span, picture_spans

    if open_words:
        where = {"branch": branch, "image": image, "occurrence": occurrence}
        return readings_of(trace, words, context, model, kind=kind, **where)
    if context is not None:
        raise ParameterError("--context is for words that are not in the prompt: add --open")
    if kind == "cross":
        return [(trace, chosen_spans(trace, words, image, occurrence, branch))]
    return [
        (trace, [picture_span(trace, word, kind) for word in words] if words else picture_spans(trace, kind))
    ]


def chosen_spans(
    trace: Trace, words: Sequence[str] | None, image: int, occurrence: int = 0, branch: str = "cond"
) -> list[TokenSpan]:
    """The words that were asked for, or all of the prompt.

    Args:
        trace: A trace of one pass.
        words: Words or phrases. None: all.
        image: Which image of the batch, from 0.
        occurrence: Which one of several such words, from 0; -1 is the last.
        branch: Guidance branch, whose own text is meant.

    Raises:
        WordError: The branch's text lacks a word, has none at all, or is unknown.
    """
    from attnscope.trace.texts import read_text

    if words:
        try:
            return [trace.span(word, image=image, occurrence=occurrence, branch=branch) for word in words]
        except WordError as error:
            if not trace.records.projections:
                raise
            raise WordError(f"{error}; to read it anyway, add --open") from None
    read = read_text(trace.run, branch, image)
    if spans := list(read.known_words()):
        return spans
    raise WordError(f"no words: the {read.name} has none, {read.text!r}; give <start>, <end> or <padding>")


def write_maps(
    readings: Sequence[Reading],
    files: Sequence[Path],
    choice: dict[str, Any],
    *,
    same_scale: bool,
    numbers: bool,
) -> Shown:
    """Write the heat map of each word.

    Args:
        readings: The words.
        files: A file for each.
        choice: Of `attnscope.heat_maps`.
        same_scale: As for `save_maps`.
        numbers: As for `save_maps`.

    Returns:
        What is printed.
    """
    maps, spans = compute_maps(readings, choice), [span for _, of_text in readings for span in of_text]
    save_maps(maps, files, same_scale=same_scale, numbers=numbers)
    objects = [map_object(heat, span, file) for heat, span, file in zip(maps, spans, files, strict=True)]
    rows = [
        (entry["word"], f"{entry['mean']:.4f}", f"{entry['maximum']:.4f}", str(tuple(entry["peak"])))
        for entry in objects
    ]
    columns = ("Word", "Mean share", "Maximum", "Peak (row, column)")
    return Shown(objects, "Attention to each word", columns, rows)


def compute_maps(readings: Sequence[Reading], choice: dict[str, Any]) -> list[HeatMap]:
    """The heat map of each word, with a bar while it takes its time.

    Args:
        readings: The words.
        choice: Of `attnscope.heat_maps`.
    """
    from attnscope.heatmap.heat_map import heat_maps

    with progress("heat maps") as bars:
        tell = counted(bars, "heat maps")
        return [
            heat for trace, spans in readings for heat in heat_maps(trace, spans, progress=tell, **choice)
        ]


def save_maps(maps: Sequence[HeatMap], files: Sequence[Path], *, same_scale: bool, numbers: bool) -> None:
    """Write each map over its picture, or its numbers where the file is an .npy.

    Args:
        maps: The maps.
        files: A file for each, a picture or .npy.
        same_scale: Give all maps the colours of the largest value among them.
        numbers: Also write each map's numbers, beside its picture, as .npy.
    """
    from attnscope.pictures.writing import write_picture

    top = max((float(heat.array.max()) for heat in maps), default=0.0) if same_scale else None
    for heat, file in zip(maps, files, strict=True):
        if file.suffix.lower() != ".npy":
            write_picture(heat.overlay(maximum=top), file)
            say_wrote(file)
        if numbers or file.suffix.lower() == ".npy":
            say_wrote(heat.save(file.with_suffix(".npy"), overwrite=True))


def map_object(heat: HeatMap, span: TokenSpan, file: Path) -> dict[str, Any]:
    """A heat map as a JSON object. Shares are 0..1, and the peak is on the latent grid.

    Args:
        heat: The map.
        span: The word.
        file: Where its picture is.
    """
    return {
        "word": span.word,
        "tokens": list(span.tokens),
        "mean": float(heat.array.mean()),
        "maximum": float(heat.array.max()),
        "peak": list(heat.peak),
        "grid": list(heat.array.shape),
        "file": str(file),
    }

"""`attnscope explain`: whether a word was drawn, why one can think so, and what changing it does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attnscope.cli.loading import load, open_pass
from attnscope.cli.options import Config, Device, Dtype, Force, Json, Pass
from attnscope.cli.output import print_data, print_json, refuse_overwriting, save_picture, working
from attnscope.cli.tables import PlainTable
from attnscope.cli.targets import picture_file, refuse_inside_a_trace
from attnscope.cli.terminal import data_console
from attnscope.errors import OutputError
from attnscope.explaining.wording import Language, Quoted, check_language, percent
from attnscope.files.names import file_names

if TYPE_CHECKING:
    from PIL.Image import Image

    from attnscope.explaining.result import Explanation

EXAMPLES = """Examples (after `attnscope generate "a red house on grass"`):

  attnscope explain output/run.trace house

  attnscope explain output/run.trace red --model demo -o red.png"""

_TILES_A_ROW = 2


def explain_command(
    trace: Annotated[Path, typer.Argument(help="Folder of a trace, such as output/run.trace.")],
    word: Annotated[
        str | None,
        typer.Argument(
            metavar="WORD",
            help="A word or phrase of the text; by default every word that may show something.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="The model that made the picture, to repeat the run without the word and with twice its attention.",
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="PLACE", help="Folder for WORD.explain.png, or the name of the file."
        ),
    ] = Path(),
    occurrence: Annotated[
        int, typer.Option("--occurrence", help="Which occurrence of a repeated word, from 0.")
    ] = 0,
    branch: Annotated[
        str, typer.Option("--branch", help="Guidance branch: cond, or uncond for the negative prompt.")
    ] = "cond",
    image: Annotated[int, typer.Option("--image", help="Which image of the batch, from 0.")] = 0,
    of_pass: Pass = None,
    config: Config = None,
    device: Device = None,
    dtype: Dtype = None,
    lang: Annotated[
        str,
        typer.Option("--lang", metavar="LANGUAGE", help="Language of the sentences: en, or ja for Japanese."),
    ] = "en",
    as_json: Json = False,
    force: Force = False,
) -> None:
    """Say whether a word was drawn, as far as attention shows, and on what grounds.

    Prints sentences with numbers and a table of all words, draws a picture, and says what attention can't prove.
    """
    language = check_language(lang)
    name = f"{file_names([word])[0]}.explain" if word and word.strip() else "explain"
    file = picture_file(output, name)
    refuse_inside_a_trace(output)
    if model is not None:  # then it takes long
        refuse_overwriting(file, force=force)
    with working(f"reading {trace}"):
        from attnscope.explaining import texts
        from attnscope.explaining.explain import explain

        opened = open_pass(trace, of_pass)
    pipe = None if model is None else load(model, config=config, device=device, dtype=dtype)
    with working("repeating the run" if pipe is not None else "reading attention"):
        explanation = explain(opened, word, pipe=pipe, occurrence=occurrence, image=image, branch=branch)
    shown, occupied = explanation.pictures(), None
    if shown:
        try:
            refuse_overwriting(file, force=force)
            save_picture(_sheet(explanation), file)
        except OutputError as error:  # what the word did is said all the same
            occupied = error
    if as_json:
        print_json({**explanation.to_dict(language), "file": str(file) if shown else None})
    else:
        print_data(f"{explanation.text(language)}\n\n")
        title = texts.WORDS_OF(prompt=Quoted(explanation.prompt)).in_language(language)
        columns = tuple(text().in_language(language) for text in texts.COLUMNS)
        data_console().print(PlainTable(title, columns, _rows(explanation, language)))
    if occupied:
        raise occupied


def _rows(explanation: Explanation, language: Language) -> Iterator[tuple[str, ...]]:
    from attnscope.explaining.texts import SAYS, WHERE

    for report in explanation.words:
        landing, tokens = report.landing, ", ".join(map(str, report.read.span.tokens))
        says = SAYS[report.verdict.says]().in_language(language)
        if landing is None:
            yield report.word, says, "", "", "", "", tokens
            continue
        leads = "" if report.read.is_function else percent(landing.leads, whole=True)
        yield (
            report.word,
            says,
            percent(landing.share),
            percent(landing.peak),
            WHERE[landing.where]().in_language(language),
            leads,
            tokens,
        )


def _sheet(explanation: Explanation) -> Image:
    """All pictures on one page, two in a row so that a phone shows them, too."""
    from attnscope.pictures.sheets import Tile, stacked, tile_row

    tiles = [Tile(*shown) for shown in explanation.pictures()]
    subtitle = "; ".join(f"{report.word}: {report.verdict.says}" for report in explanation.asked)
    return stacked(
        explanation.prompt, subtitle, [("", tile_row(tiles, columns=min(len(tiles), _TILES_A_ROW)))]
    )

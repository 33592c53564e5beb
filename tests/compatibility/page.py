"""docs/compatibility.md: written from cells, and read back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from compatibility.case import COLUMNS, Cell
from compatibility.cases import NOT_HERE, PARTS, TABLES

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"
Cells = Mapping[str, Mapping[str, Cell]]

SIGNS = {"right": "✓", "refused": "—", "wrong": "✗"}
HEADINGS = ("capture", "picture", "rows", "P", "heat map", "segments")

INTRODUCTION = """\
# Compatibility

How attnscope handles every pipeline of diffusers {diffusers} that has a U-Net or a transformer, and the common ways to
run one: {cases} cases with six questions each. Tests write this page; nothing in it is written by hand.

- **capture**: the whole run is recorded: every call of the model, every step, every attention layer, each on its own
  grid.
- **picture**: the pipeline's output is the same as without attnscope, to the bit.
- **rows**: each row of the batch has the right guidance branch and image.
- **P**: the attention probability. Every row of every layer in every call is the softmax in float64 of what hooks on
  `to_q` and `to_k` (or on the norms after them) saw in a run without attnscope. For transformers it is that of the
  inputs to `scaled_dot_product_attention`, also in each relation, such as `image->text`.
- **heat map**: the map of a word of the prompt is the mean of these rows.
- **segments**: segmenting gives segments at the picture's size.

✓ is right. — is refused: the number links to the message. If the capture itself is refused, its row has it once.
{wrong}Models are tiny and random. Pictures are 64x96 where possible, those of transformers 96x128. A LoRA is two
random matrices beside each projection to queries and keys, put there without PEFT.
`./dev compatibility` writes the page
"""
WRONG = "✗ is wrong today: the number links to what is wrong.\n"


def page(cells: Cells, versions: Mapping[str, str]) -> str:
    """The page as Markdown.

    Args:
        cells: For each case the cell of each column.
        versions: Of diffusers, transformers, torch.
    """
    counts = {
        verdict: sum(cell.verdict == verdict for row in cells.values() for cell in row.values())
        for verdict in SIGNS
    }
    notes = _numbered(cells)
    tables = [
        *("\n".join(["", f"## {title}", *_groups(kinds, cells, notes)]) for title, kinds in PARTS.items()),
        _not_here(),
    ]
    introduction = INTRODUCTION.format(cases=len(cells), wrong=WRONG if counts["wrong"] else "", **versions)
    total = f"{counts['right']} cells are right, {counts['refused']} are refused, {counts['wrong']} are wrong"
    made = f"(torch {versions['torch']}, transformers {versions['transformers']}). {total}."
    return "\n".join([introduction.rstrip(), made, *tables, _sentences(notes)]) + "\n"


def _numbered(cells: Cells) -> dict[Cell, int]:
    """A number for each sentence: refusals come first, then what is wrong, each in the order of the tables."""
    order = [case.name for kind in TABLES for case in kind.CASES if case.name in cells]
    in_order = [cells[name][column] for name in order for column in COLUMNS]
    said = [cell for verdict in ("refused", "wrong") for cell in in_order if cell.verdict == verdict]
    return {cell: number for number, cell in enumerate(dict.fromkeys(said), start=1)}


def _groups(kinds: tuple, cells: Cells, notes: dict[Cell, int]) -> list[str]:
    lines: list[str] = []
    for kind in kinds:
        names = [case.name for case in kind.CASES if case.name in cells]
        lines += ["", f"### {kind.GROUP}", "", '<div class="cells" markdown>', ""]
        lines += [_line(["", *HEADINGS]), _line([":--", *[":-:"] * len(HEADINGS)])]
        lines += [*(_line([name, *_signs(cells[name], notes)]) for name in names), "", "</div>"]
    return lines


def _signs(row: Mapping[str, Cell], notes: dict[Cell, int]) -> list[str]:
    """The signs of one case. A refusal of the whole capture has its number once."""
    whole = row[COLUMNS[0]]
    if whole.verdict != "right" and set(row.values()) == {whole}:
        return [_sign(whole, notes), *[SIGNS[whole.verdict]] * (len(COLUMNS) - 1)]
    return [_sign(row[column], notes) for column in COLUMNS]


def _line(parts: list[str]) -> str:
    return f"| {' | '.join(parts)} |"


def _sign(cell: Cell, notes: dict[Cell, int]) -> str:
    if cell.verdict == "right":
        return SIGNS["right"]
    return f"{SIGNS[cell.verdict]} [{notes[cell]}](#n{notes[cell]})"


def _not_here() -> str:
    lines = [f"- {name}: {reason}." for name, reason in NOT_HERE.items()]
    return "\n".join(["", "## Not tried", "", *lines])


def _sentences(notes: dict[Cell, int]) -> str:
    titles = {"refused": "Sentences of refusal", "wrong": "What is wrong today"}
    lines: list[str] = []
    for verdict, title in titles.items():
        of_verdict = {cell: number for cell, number in notes.items() if cell.verdict == verdict}
        if of_verdict:
            lines += ["", f"## {title}", ""]
            lines += [
                f'<a id="n{number}"></a>{number}. {_plain(cell.text)}\n'
                for cell, number in of_verdict.items()
            ]
    return "\n".join(lines).rstrip()


def _plain(text: str) -> str:
    """A sentence that Markdown leaves as it is."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", text)


def read_page(text: str) -> dict[str, dict[str, Cell]]:
    """The cells of a page.

    Args:
        text: The page.
    """
    sentences = dict(re.findall(r'^<a id="n(\d+)"></a>\d+\. (.*)$', text, re.M))
    verdicts = {sign: verdict for verdict, sign in SIGNS.items()}
    rows = re.findall(r"^\| (?!:--)([^|\n]+?) ((?:\| [^|\n]+ ){6})\|$", text, re.M)
    return {name: _read_row(cells.strip("| ").split("|"), sentences, verdicts) for name, cells in rows}


def _read_row(signs: list[str], sentences: Mapping[str, str], verdicts: Mapping[str, str]) -> dict[str, Cell]:
    cells = [_read(sign, sentences, verdicts) for sign in signs]
    if cells[0].text and not any(cell.text for cell in cells[1:]):  # the capture itself is refused
        cells = [cells[0] if cell.verdict == cells[0].verdict else cell for cell in cells]
    return dict(zip(COLUMNS, cells, strict=True))


def _read(cell: str, sentences: Mapping[str, str], verdicts: Mapping[str, str]) -> Cell:
    sign, _, link = cell.strip().partition(" ")
    number = re.findall(r"\d+", link)
    text = re.sub(r"\\(.)", r"\1", sentences[number[0]]) if number else ""
    return Cell(verdicts[sign], text)

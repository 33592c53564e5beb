"""Tables on a screen of any width: every number is there, whole and in order."""

from __future__ import annotations

import json
import re

import pytest
from rich.cells import cell_len
from screens import on_screen

from attnscope.cli.layer_tables import readable_bytes
from attnscope.cli.tables import PlainTable
from attnscope.cli.terminal import data_console

WIDTHS = (40, 60, 80, 120)


def rows_of(text, column):
    """The cells below a column, wherever its part of the table stands."""
    lines = text.splitlines()
    at = next(
        number for number, line in enumerate(lines) if re.search(rf"(^|  ){re.escape(column)}(  |$)", line)
    )
    start = re.search(rf"(^|  ){re.escape(column)}(  |$)", lines[at])
    left = start.start() + len(start[1])
    below = lines[at + 2 :]
    return [line[left:].split("  ")[0].strip() for line in below[: below.index("")]]


@pytest.mark.parametrize("columns", WIDTHS)
def test_layers_keep_every_shape_and_size(monkeypatch, columns):
    code, out, _ = on_screen(monkeypatch, ["layers", "sd1", "--kind", "self"], columns=columns)
    layers = json.loads(on_screen(monkeypatch, ["layers", "sd1", "--kind", "self", "--json"])[1])
    assert code == 0
    assert max(map(cell_len, out.splitlines())) <= columns
    for column, fact in (
        ("Query", "query"),
        ("Key", "key"),
        ("Value", "value"),
        ("Attention probability", "probability"),
    ):
        table = out[out.index("tensor shapes") :]
        assert rows_of(table, column) == [f"({', '.join(map(str, layer[fact]))})" for layer in layers], column
    assert rows_of(out, "Q+K") == [readable_bytes(layer["bytes_query_key"]) for layer in layers]
    assert rows_of(out, "P") == [readable_bytes(layer["bytes_probability"]) for layer in layers]
    assert rows_of(out, "Heads") == [f"{layer['heads']} x {layer['head_dim']}" for layer in layers]


@pytest.mark.parametrize("columns", WIDTHS)
def test_what_a_run_takes_is_told_on_every_screen(monkeypatch, columns):
    _, out, _ = on_screen(monkeypatch, ["layers", "sd1", "--steps", "50"], columns=columns)
    policies = json.loads(on_screen(monkeypatch, ["layers", "sd1", "--steps", "50", "--json"])[1])["policies"]
    table = out[out.index("What 50 steps take") :]
    sizes = [cell for cell in rows_of(table, "The run") if cell]
    assert sizes == [readable_bytes(policy["run_bytes"]) for policy in policies]
    a_step = [cell for cell in rows_of(table, "A step") if cell]
    assert a_step == [readable_bytes(policy["step_bytes"]) for policy in policies if policy["step_bytes"]]
    letters = "".join(table.split())
    assert all("".join(policy["call"].split()) in letters for policy in policies) or columns < 120


@pytest.mark.parametrize("columns", WIDTHS)
def test_words_keep_their_shares_and_peaks(monkeypatch, made, tmp_path, columns):
    arguments = ["heatmap", made, "-o", tmp_path, "--force"]
    _, out, _ = on_screen(monkeypatch, arguments, columns=columns)
    words = json.loads(on_screen(monkeypatch, [*arguments, "--json"])[1])
    assert rows_of(out, "Word") == [word["word"] for word in words]
    assert rows_of(out, "Mean share") == [f"{word['mean']:.4f}" for word in words]
    assert rows_of(out, "Maximum") == [f"{word['maximum']:.4f}" for word in words]
    assert rows_of(out, "Peak (row, column)") == [str(tuple(word["peak"])) for word in words]


@pytest.mark.parametrize("columns", WIDTHS)
def test_info_keeps_the_run_and_the_layers(monkeypatch, made, columns):
    _, out, _ = on_screen(monkeypatch, ["info", made], columns=columns)
    facts = json.loads(on_screen(monkeypatch, ["info", made, "--json"])[1])
    letters = " ".join(out.split())
    assert all(f"{name} {version}" in letters for name, version in facts["versions"].items())
    assert "128x128" in letters
    assert rows_of(out, "Tokens") == ["1", "2", "3", "4", "5", "6"]
    table = out[out.index("Layers") :]
    keys = {(str(layer["grid"]), layer["kind"]): str(tuple(layer["key"])) for layer in facts["layers"]}
    assert rows_of(table, "Key") == list(keys.values())
    assert rows_of(table, "Grid") == [grid for grid in ("16x16", "8x8", "4x4", "2x2") for _ in range(2)]


def printed(monkeypatch, table, columns):
    from screens import Stream

    stream = Stream("utf-8")
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setenv("COLUMNS", str(columns))
    data_console().print(table)
    return stream.text


def test_rows_that_begin_alike_are_told_apart_in_every_part(monkeypatch):
    rows = [("8x8", "self", "1" * 30, "2" * 30), ("8x8", "cross", "3" * 30, "4" * 30)]
    out = printed(monkeypatch, PlainTable("T", ("Grid", "Kind", "A", "B"), rows), 50)
    lines = [line.split() for line in out.splitlines()]
    for cells in (("8x8", "self", "2" * 30), ("8x8", "cross", "4" * 30)):
        assert list(cells) in lines


def test_a_text_wider_than_the_screen_goes_on_below_and_loses_no_letter(monkeypatch):
    text = "猫" * 50 + " " + "x" * 99
    out = printed(monkeypatch, PlainTable("T", ("", ""), [("Prompt", text), ("Seed", "5")]), 40)
    assert max(map(cell_len, out.splitlines())) <= 40
    assert out.count("猫") == 50
    assert out.count("x") == 99


def test_a_pipe_has_no_width(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    code, out, _ = on_screen(monkeypatch, ["layers", "sd1", "--steps", "50"])
    assert code == 0
    assert "capture(pipe, qk=False, keep={'maps': Reduced('self', per='grid')})" in out
    assert out.count("Attention probability") == 2  # one table a kind

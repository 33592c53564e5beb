"""Every page of help fits a terminal of 80 columns, with all of its words whole; shells can complete a line."""

import re

import pytest
import typer

from attnscope.cli.app import app

COMMANDS = typer.main.get_command(app).commands


@pytest.fixture
def page(run, monkeypatch):
    """The help of a command in 80 columns."""

    def page(*command):
        monkeypatch.setenv("COLUMNS", "80")
        code, out, err = run(*command, "--help")
        assert (code, err) == (0, "")
        return out

    return page


def words_of(command):
    """What has to stand on its page: names of options, placeholders, and words of sentences."""
    for parameter in command.params:
        names = (*parameter.opts, *parameter.secondary_opts)
        yield from (name for name in names if name.startswith("-"))
        yield from (parameter.metavar or "").split()
        yield from (getattr(parameter, "help", None) or "").replace("`", "").split()
    yield from f"{command.help} {command.epilog}".replace("`", "").split()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_of_help_fits_80_columns_with_whole_words(page, name):
    shown = page(name)
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown
    assert re.findall(r"<[a-z][^>\s]*\s+(?!range)", shown) == []  # a list of choices in two lines
    text = shown.replace("`", "").replace("│", " ")
    assert [word for word in words_of(COMMANDS[name]) if word not in text] == []


def test_the_list_of_commands_fits_too(page):
    shown = page()
    assert max(map(len, shown.splitlines())) <= 80
    assert [name for name in COMMANDS if name not in shown] == []


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("attnscope heat", "heatmap"),
        ("attnscope segment --threshold", "--thresholds"),
        ("attnscope generate --keep un", ""),
        ("attnscope generate --keep cr", "cross"),
    ],
)
def test_a_shell_is_told_what_completes_a_line(run, monkeypatch, typed, expected):
    monkeypatch.setenv("_ATTNSCOPE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))
    code, out, err = run()
    assert (code, err) == (0, "")
    assert expected in out.split() if expected else not out.strip()


def test_completion_can_be_installed(page):
    assert "--install-completion" in page()

"""A missing extra is named with the command that installs it where this Python runs."""

import sys

import pytest

from attnscope.errors import missing_extra


@pytest.mark.parametrize(
    ("place", "file", "command"),
    [
        ("venv", "pyvenv.cfg", 'pip install "attnscope[ray]"'),
        ("uv/tools/attnscope", "uv-receipt.toml", 'uv tool install "attnscope[ray]"'),
        ("uv/archive-v0/qi3", "pyvenv.cfg", 'uvx --from "attnscope[ray]" attnscope'),
        ("pipx/.cache/0f1e", "pyvenv.cfg", 'pipx run --spec "attnscope[ray]" attnscope'),
        ("pipx/venvs/attnscope", "pipx_metadata.json", 'pipx install --force "attnscope[ray]"'),
    ],
)
def test_an_extra_is_installed_where_this_python_runs(place, file, command, tmp_path, monkeypatch):
    environment = tmp_path / place
    environment.mkdir(parents=True)
    (environment / file).touch()
    monkeypatch.setattr(sys, "prefix", str(environment))
    assert str(missing_extra("--engine ray", "Ray", "ray")) == f"--engine ray needs Ray: {command}"

"""conda-forge's recipe asks for what pyproject.toml asks for."""

import re
from pathlib import Path

import pytest

import attnscope

yaml = pytest.importorskip("yaml", reason="needs PyYAML, which comes with transformers")

ROOT = Path(__file__).parents[1]
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base", "ray": "ray-data"}
"""Where conda-forge calls a package something else than PyPI."""
PROJECT = (ROOT / "pyproject.toml").read_text("utf-8")


@pytest.fixture(scope="module")
def recipe():
    return yaml.safe_load((ROOT / "packaging" / "conda" / "recipe.yaml").read_text("utf-8"))


def asked(lines):
    """Each package with its least version, by its name on conda-forge."""
    found = (
        re.fullmatch(r"([\w.-]+)(?:\[\w+\])?>=([\w.]+)", line) for line in re.findall(r'"([^"]+)"', lines)
    )
    return {CONDA_NAMES.get(match[1], match[1]): match[2] for match in found if match}


def named(lines):
    """The same of the recipe's lines."""
    return {name: least for name, _, least in (line.partition(" >=") for line in lines) if name != "python"}


def test_it_has_the_same_dependencies(recipe):
    base = re.search(r"^dependencies = \[(.*?)^\]", PROJECT, re.DOTALL | re.MULTILINE)[1]
    assert named(recipe["requirements"]["run"]) == asked(base)


def test_it_is_built_with_the_same_tools(recipe):
    tools = re.search(r"^requires = \[(.*?)\]", PROJECT, re.MULTILINE)[1]
    assert named(recipe["requirements"]["host"][2:]) == asked(tools)


def test_what_the_extras_ask_for_stands_as_constraints(recipe):
    extras = PROJECT.partition("[project.optional-dependencies]")[2].partition("[project.urls]")[0]
    extras = re.sub(r"^dev = \[.*?^\]", "", extras, flags=re.DOTALL | re.MULTILINE)
    assert named(recipe["requirements"]["run_constraints"]) == asked(extras)


def test_it_has_the_same_version_python_and_command(recipe):
    assert recipe["context"]["version"] == attnscope.__version__
    low, high = re.search(r'requires-python = ">=([\d.]+),<([\d.]+)"', PROJECT).groups()
    assert recipe["context"]["python_min"] == low
    assert f"python >=${{{{ python_min }}}},<{high}" in recipe["requirements"]["run"]
    command = re.search(r'^attnscope = "(.*)"', PROJECT, re.MULTILINE)[1]
    assert recipe["build"]["python"]["entry_points"] == [f"attnscope = {command}"]

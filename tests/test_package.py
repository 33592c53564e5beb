"""The package as a whole: light to import, and its imports go one way."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import attnscope

SOURCE = Path(attnscope.__file__).parent
HEAVY = (
    "torch",
    "diffusers",
    "transformers",
    "triton",
    "matplotlib",
    "sklearn",
    "scipy",
    "PIL",
    "numpy",
    "typer",
    "fastapi",
)

# A module may import, at its top, from its own level's earlier names and from the levels above.
LEVELS = [
    ["_version", "errors", "records"],
    [
        "files",
        "selection",
        "tokens",
        "probability",
        "atlas",
        "heat_colours",
        "images",
        "threads",
        "segments",
        "diffseg",
    ],
    ["branches", "diagram", "layer_record", "shards"],
    ["trace", "trace_html"],
    ["keeping", "manifest", "pipeline_watch", "pipelines", "reduced", "tap"],
    ["attention_modules", "byte_plan", "reduced_files"],
    ["store"],
    ["budgeted", "heatmap"],
    ["capturing"],
    ["photo_pass"],
    ["segmentation_result"],
    ["segmentation"],
    ["demo"],
    ["viewer"],
    ["cli"],
]


def run(program):
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_import_loads_nothing_heavy():
    loaded = run(f"import sys, attnscope; print([name for name in {HEAVY!r} if name in sys.modules])")
    assert loaded.strip() == "[]"


def test_every_public_name_is_there():
    for name in attnscope.__all__:
        assert getattr(attnscope, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'captur'"):
        attnscope.captur


def test_a_submodule_never_hides_a_function():
    program = "import attnscope.capturing, attnscope.atlas, attnscope.heatmap, attnscope.segmentation, attnscope as a; "
    assert (
        run(program + "print(all(map(callable, (a.capture, a.layers, a.heat_map, a.segment))))").strip()
        == "True"
    )


def imported_at_the_top(path):
    tree = ast.parse(path.read_text("utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("attnscope"):
            parts = node.module.split(".")
            yield from ([parts[1]] if len(parts) > 1 else [alias.name for alias in node.names])


def test_imports_go_one_way():
    level = {name: number for number, names in enumerate(LEVELS) for name in names}
    wrong = []
    for path in SOURCE.rglob("*.py"):
        own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        if own in ("__init__", "__main__"):
            continue
        assert own in level, f"{own} has no level: decide where it stands, here and in docs/architecture.md"
        for other in imported_at_the_top(path):
            if other != own and (level[other] > level[own]):
                wrong.append(f"{own} imports {other}")
    assert wrong == []


def test_the_version_is_in_the_changelog():
    changelog = (SOURCE.parents[1] / "CHANGELOG.md").read_text("utf-8")
    assert re.search(rf"^## {re.escape(attnscope.__version__)}\b", changelog, re.MULTILINE)

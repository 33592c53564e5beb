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
    "kornia",
    "skimage",
    "pyarrow",
    "ray",
    "fsspec",
    "matplotlib",
    "sklearn",
    "scipy",
    "PIL",
    "numpy",
    "typer",
    "fastapi",
)

# A room may import from those before it, anywhere in a file; `import attnscope` alone knows all of them, by name.
ORDER = [
    "_version",
    "errors",
    "lazily",
    "spelling",
    "files",
    "records",
    "atlas",
    "probability",
    "pictures",
    "diffseg",
    "markov",
    "ncut",
    "storage",
    "trace",
    "heatmap",
    "places",
    "measuring",
    "pipelines",
    "recording",
    "jobs",
    "generating",
    "photos",
    "segmentation",
    "editing",
    "guidance",
    "demo",
    "testing",
    "evaluation",
    "explaining",
    "reporting",
    "viewer",
    "studio",
    "cli",
]

# The same of the rooms of recording, and of the capture.
RECORDING = [
    "tapping",
    "obstacles",
    "planning",
    "observing",
    "calling",
    "running",
    "capture",
    "doctor",
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
    program = "import attnscope.recording.capture, attnscope.atlas, attnscope.heatmap, attnscope.segmentation.segment; "
    program += "import attnscope as a; "
    assert (
        run(program + "print(all(map(callable, (a.capture, a.layers, a.heat_map, a.segment))))").strip()
        == "True"
    )


def imports(path):
    """Modules of attnscope that a file imports, wherever in it; for a package's name that of what is taken from it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "attnscope":
            for alias in node.names:
                longer = f"{node.module}.{alias.name}"
                yield longer if file_of(longer) else node.module


def file_of(module):
    place = SOURCE.parent.joinpath(*module.split("."))
    return next((file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()), None)


def files():
    return [
        path for path in SOURCE.rglob("*.py") if path not in (SOURCE / "__init__.py", SOURCE / "__main__.py")
    ]


@pytest.mark.parametrize(
    ("room", "order"), [("", ORDER), ("recording.", RECORDING)], ids=["all", "recording"]
)
def test_imports_go_one_way(room, order):
    level, inside = {name: number for number, name in enumerate(order)}, f"attnscope.{room}"
    wrong = []
    for path in SOURCE.joinpath(*room.split(".")).rglob("*.py"):
        own = path.relative_to(SOURCE.joinpath(*room.split("."))).parts[0].removesuffix(".py")
        if own.startswith("__"):
            continue
        assert own in level, f"{own} has no place: decide where it stands, here and in docs/architecture.md"
        for module in imports(path):
            other = module.removeprefix(inside).split(".")[0]
            if module.startswith(inside) and level[other] > level[own]:
                wrong.append(f"{path.relative_to(SOURCE)} imports {module}")
    assert wrong == []


def test_no_file_imports_itself_by_way_of_others():
    to = {path: {file_of(module) for module in imports(path)} - {path} for path in files()}
    left = set(to)
    while free := {path for path in left if not to[path] & left}:
        left -= free
    assert sorted(str(path.relative_to(SOURCE)) for path in left) == []


def test_rooms_files_and_classes_stay_small():
    rooms = {
        path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert len(rooms) <= 35
    assert [
        str(path) for path in SOURCE.rglob("*.py") if len(path.read_text("utf-8").splitlines()) > 300
    ] == []
    assert {name for path in files() for name, lines in classes(path) if lines > 200} == set()


def test_a_package_that_says_what_its_files_are_for_names_all_of_them():
    for package in SOURCE.rglob("__init__.py"):
        about = ast.get_docstring(ast.parse(package.read_text("utf-8"))) or ""
        named = set(re.findall(r"^(\w+\.py|\w+/) ", about, re.MULTILINE))
        there = {path.parent.name + "/" for path in package.parent.glob("*/__init__.py")}
        there |= {path.name for path in package.parent.glob("*.py") if path != package}
        assert named in (set(), there), package


def classes(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ClassDef):
            yield node.name, node.end_lineno - node.lineno + 1


def test_the_version_is_in_the_changelog():
    changelog = (SOURCE.parents[1] / "CHANGELOG.md").read_text("utf-8")
    assert re.search(rf"^## {re.escape(attnscope.__version__)}\b", changelog, re.MULTILINE)

"""The examples: notebooks run from the top in a fresh kernel, scripts to their end, in empty folders without network.

Pictures take few steps, except with --thorough. `python tests/test_example_files.py NAME ...` runs notebooks as they
are and keeps what they show; without a name all of them.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
SCRIPTS = sorted(EXAMPLES.glob("*.py"))
REPOSITORY = "https://github.com/attnscope/attnscope"
COLAB = "https://colab.research.google.com/github/attnscope/attnscope/blob/main/examples"
MOST_BYTES = 1_500_000
MOST_LINES = 60
SECONDS = 300
FEW = 2
STEPS = re.compile(r'(num_inference_steps"?[=:] ?)\w+')
UNREACHABLE = "http://127.0.0.1:9"
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",  # a second thread gains little with so small a model
    "PYTHONPATH": str(ROOT / "src"),
    "PYTHONDONTWRITEBYTECODE": "1",
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), UNREACHABLE),
}
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|root|Users|tmp|work|usr|opt|content|private|mnt)/|[A-Z]:\\\\")
TAKEN = {"stream", "display_data", "execute_result", "error"}

by_name = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
by_script = pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def text_of(lines):
    return lines if isinstance(lines, str) else "".join(lines)


def read(path):
    return json.loads(path.read_text("utf-8"))


def environment():
    """Of somebody without network, whose notebook chooses how it draws."""
    return {name: value for name, value in os.environ.items() if name != "MPLBACKEND"} | OFFLINE


# What is in the files


@by_name
def test_a_notebook_begins_with_its_colab_link_and_the_set_up(path):
    first, set_up = read(path)["cells"][:2]
    assert f"({COLAB}/{path.name})" in text_of(first["source"])
    code = text_of(set_up["source"])
    assert "find_spec" in code
    assert f'%pip install -q "attnscope[all] @ git+{REPOSITORY}"' in code
    installing = [cell for cell in code_cells(read(path)) if "pip install" in text_of(cell["source"])]
    assert installing == [set_up]


@by_name
def test_the_code_of_a_notebook_parses(path):
    transform = pytest.importorskip("IPython", reason="needs IPython").core.inputtransformer2
    manager = transform.TransformerManager()
    for cell in code_cells(read(path)):
        ast.parse(manager.transform_cell(text_of(cell["source"])))


@by_name
def test_a_notebook_shows_what_it_made_and_nothing_of_the_machine(path):
    notebook = read(path)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    cells = code_cells(notebook)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert sum("image/jpeg" in output.get("data", {}) for output in outputs) >= 3
    assert all(not cell["metadata"].keys() - {"jupyter"} for cell in cells)
    for output in outputs:
        assert output["output_type"] != "error"
        assert output.get("name") != "stderr"
    assert not MACHINE_PATH.search(path.read_text("utf-8"))


def test_the_notebooks_are_small():
    assert sum(path.stat().st_size for path in NOTEBOOKS) < MOST_BYTES


@pytest.mark.parametrize("path", [*NOTEBOOKS, EXAMPLES / "README.md"], ids=lambda path: path.name)
def test_pages_that_are_linked_are_there(path):
    text = path.read_text("utf-8")
    pages = re.findall(re.escape(f"{REPOSITORY}/blob/main/") + r"([\w./-]+\.\w+)", text)
    beside = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert pages or beside
    missing = [page for page in pages if not (ROOT / page).is_file()]
    assert missing + [link for link in beside if not (EXAMPLES / link).is_file()] == []


def test_the_table_has_every_example():
    table = (EXAMPLES / "README.md").read_text("utf-8")
    assert [path.name for path in [*NOTEBOOKS, *SCRIPTS] if f"]({path.name})" not in table] == []
    assert [path.name for path in NOTEBOOKS if f"{COLAB}/{path.name}" not in table] == []


@by_script
def test_a_script_is_short(path):
    lines = path.read_text("utf-8").splitlines()
    assert len(lines) <= MOST_LINES
    assert 'if __name__ == "__main__":' in lines
    assert any(line.startswith(('MODEL = "demo"', "MODEL = None")) for line in lines)


# What they do


@pytest.fixture(scope="module")
def shortened(pytestconfig):
    """What becomes of an example's code in a test."""
    if pytestconfig.option.thorough:
        return lambda code: code
    return lambda code: STEPS.sub(rf"\g<1>{FEW}", code)


@pytest.mark.slow
@by_name
def test_a_notebook_runs_from_the_top(path, tmp_path, shortened):
    pytest.importorskip("ipykernel", reason='needs ipykernel: pip install "attnscope[dev]"')
    cells = code_cells(read(path))
    made = executed([shortened(text_of(cell["source"])) for cell in cells], tmp_path)
    for cell, outputs in zip(cells, made, strict=True):
        assert [output for output in outputs if output.get("name") == "stderr"] == []
        assert kinds(outputs) == kinds(cell["outputs"]), text_of(cell["source"])


RUN_ALL = """
import os, runpy, sys
for script, folder in zip(sys.argv[1::2], sys.argv[2::2]):
    os.chdir(folder)
    print("script", script, flush=True)
    runpy.run_path(script, run_name="__main__")
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory, shortened):
    """What each script said, and the folder that it ran in; all of them in one process, one after the other."""
    copies, folders = (tmp_path_factory.mktemp(name) for name in ("scripts", "folders"))
    given = []
    for script in SCRIPTS:
        copy, folder = copies / script.name, folders / script.stem
        copy.write_text(shortened(script.read_text("utf-8")), "utf-8")
        folder.mkdir()
        given += [str(copy), str(folder)]
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL, *given],
        env=environment() | {"MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    said = re.split(r"^script .*\n", done.stdout, flags=re.MULTILINE)[1:]
    return {script.stem: (text, folders / script.stem) for script, text in zip(SCRIPTS, said, strict=True)}


@pytest.mark.slow
@by_script
def test_a_script_writes_what_it_says(path, scripts):
    text, folder = scripts[path.stem]
    said = re.findall(r"^wrote (\S+)$", text, re.MULTILINE)
    assert said
    assert [name for name in said if not (folder / name).exists()] == []
    written = {entry.relative_to(folder).parts[:2] for entry in folder.rglob("*") if entry.parent != folder}
    assert written == {Path(name).parts[:2] for name in said}


def kinds(outputs):
    """What kinds of outputs there are: numbers and pictures differ from machine to machine in their last bits."""
    return [
        (output["output_type"], *sorted(output.get("data", {})), output.get("name", "")) for output in outputs
    ]


@contextmanager
def kernel(folder):
    """A fresh kernel of this Python in a folder."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(startup_timeout=SECONDS, cwd=str(folder), env=environment())
    try:
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def executed(codes, folder):
    """The outputs of each cell's code, run in order."""
    made = []
    with kernel(folder) as client:
        for code in codes:
            said = []
            reply = client.execute_interactive(
                code, allow_stdin=False, timeout=SECONDS, output_hook=said.append
            )["content"]
            trace = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(reply.get("traceback", [])))
            assert reply["status"] == "ok", f"{code}\n{trace}"
            made.append(joined([as_output(message) for message in said if message["msg_type"] in TAKEN]))
    return made


def as_output(message):
    """An output as a notebook's file has it."""
    content = {name: part for name, part in message["content"].items() if name != "transient"}
    return {"output_type": message["msg_type"], **content}


def joined(outputs):
    """Text of one stream comes in pieces."""
    whole = []
    for output in outputs:
        if whole and output.get("name") and output["name"] == whole[-1].get("name"):
            whole[-1]["text"] += output["text"]
        else:
            whole.append(output)
    return whole


def run_again(path):
    """Execute a notebook and keep its outputs in it."""
    notebook = read(path)
    cells = code_cells(notebook)
    with tempfile.TemporaryDirectory() as folder:
        outputs = executed([text_of(cell["source"]) for cell in cells], folder)
    for number, (cell, made) in enumerate(zip(cells, outputs, strict=True), start=1):
        cell["execution_count"] = number
        cell["outputs"] = [in_file(output, number) for output in made]
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", "utf-8")


def in_file(output, number):
    """Texts line by line, as notebooks have them; results with the number of their cell."""
    if output["output_type"] == "execute_result":
        output["execution_count"] = number
    if "text" in output:
        output["text"] = output["text"].splitlines(keepends=True)
    for kind, data in output.get("data", {}).items():
        if kind.startswith("text/"):
            output["data"][kind] = data.splitlines(keepends=True)
    return output


if __name__ == "__main__":
    for notebook_path in [EXAMPLES / f"{name}.ipynb" for name in sys.argv[1:]] or NOTEBOOKS:
        run_again(notebook_path)
        print("ran", notebook_path.name)

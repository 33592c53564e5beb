"""The code of every page of the site: Python runs on the demo model, commands are ones that there are."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest
import torch
import typer

import attnscope
from attnscope.cli.app import app
from attnscope.demo.scenes import scene
from test_readme import blocks

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(path.name for path in DOCS.glob("*.md"))
FEW = 6

ELSEWHERE = {
    "explain.md": "test_readme.py",
    "index.md": "test_readme.py, which is the README",
    "passes.md": "test_readme.py",
    "photos.md": "test_readme.py",
    "segmenters.md": "segmentation/test_segmenters_guide.py",
    "statistics.md": "test_readme.py",
    "viewer.md": "test_notebooks.py: in a notebook",
    "views.md": "test_readme.py",
}
NOT_RUN = {"adding-a-model.md": "part of a file of the package, with gaps"}
RUN = {
    "attention.md": {},
    "clicks.md": {},
    "diffseg-steps.md": {},
    "editing.md": {
        "steps=range(10)": "steps=range(2)",
        "null_text=True": "null_text=True, num_inference_steps=2",
    },
    "evaluation.md": {"scenes:200": "scenes:2"},
    "faq.md": {},
    "long-runs.md": {},
    "open-words.md": {},
    "places.md": {},
    "quick-start.md": {},
    "words.md": {},
    "your-model.md": {},
}
"""Pages whose Python is run here, with what is put in place of something that takes long."""
LONG = {"editing.md"}


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """Somebody in an empty folder with a photo, whose every model is the demo model and takes few steps."""
    import diffusers

    monkeypatch.chdir(tmp_path)
    scene(4).pil_image.save("photo.png")
    pipe = attnscope.load_pipeline("demo")
    pipe.set_progress_bar_config(disable=True)
    call = type(pipe).__call__

    def with_few_steps(self, *args, **kwargs):
        kwargs["num_inference_steps"] = min(kwargs.get("num_inference_steps", FEW), FEW)
        return call(self, *args, **kwargs)

    monkeypatch.setattr(type(pipe), "__call__", with_few_steps)
    monkeypatch.setattr(diffusers.DiffusionPipeline, "from_pretrained", lambda *_, **__: pipe)
    monkeypatch.setattr(attnscope, "load_pipeline", lambda *_, **__: pipe)
    return pipe


def given_to(page, pipe):
    """What a page takes for granted."""
    if page == "evaluation.md":
        truths = [torch.from_numpy(scene(number).segments).long() for number in (1, 2)]
        return {"predictions": truths, "truths": truths}
    if page == "words.md":
        prompts = pipe.encode_prompt("red house", "cpu", 1, True, negative_prompt="blurry")
        with attnscope.capture(pipe) as trace:
            pipe("a red star", negative_prompt="a star", guidance_scale=3.0)
        names = {"embeds": prompts[0], "negative": prompts[1]}
        return {"attnscope": attnscope, "pipe": pipe, "trace": trace, **names}
    return {}


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=[pytest.mark.thorough] * (page in LONG)) for page in RUN]
)
def test_the_pages_python_runs(page, reader):
    program = "\n".join(blocks(f"docs/{page}", "python"))
    for said, instead in RUN[page].items():
        assert said in program
        program = program.replace(said, instead)
    exec(compile(program, page, "exec"), given_to(page, reader))


def test_no_page_has_python_that_nobody_runs():
    known = {*ELSEWHERE, *NOT_RUN, *RUN}
    with_python = {
        page for page in PAGES if blocks(f"docs/{page}", "python") or blocks(f"docs/{page}", "pycon")
    }
    assert with_python <= known
    assert known - {"index.md"} <= with_python
    for page in with_python - {*NOT_RUN}:
        for block in blocks(f"docs/{page}", "python"):
            ast.parse(block)


def commands(page):
    """Lines of a page that are commands of attnscope, without what a shell does with them."""
    text = (DOCS / page).read_text("utf-8") if page in PAGES else (DOCS.parent / page).read_text("utf-8")
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        if language not in ("", "sh"):
            continue
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("attnscope "):
                yield shlex.split(line, comments=True)[1:]


def test_every_command_on_a_page_is_one_that_there_is():
    group = typer.main.get_command(app)
    seen = 0
    for page in [*PAGES, "README.md", "README.ja.md"]:
        for name, *words in commands(page):
            if name.startswith("-"):
                continue
            command = group.commands[name]
            try:
                command.make_context(name, words).close()
            except Exception as error:
                pytest.fail(f"{page}: attnscope {shlex.join([name, *words])}: {error}")
            seen += 1
    assert seen > 60

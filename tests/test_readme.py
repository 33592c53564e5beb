"""The Python of the README and of the guides runs as it stands, on the demo model."""

import doctest
import re
import shlex
from pathlib import Path

import pytest
import torch

import attnscope
from attnscope.cli import main
from attnscope.demo.scenes import scene

ROOT = Path(__file__).parents[1]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", pytest.param("README.ja.md", marks=pytest.mark.thorough)])
def test_the_readmes_python_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = attnscope.load_pipeline("demo")  # for a reader's
    call = own.__class__.__call__
    few = lambda self, *args, **kwargs: call(self, *args, num_inference_steps=4, **kwargs)  # noqa: E731
    monkeypatch.setattr(own.__class__, "__call__", few)
    assert len(blocks(page, "python")) == 5
    exec("\n".join(blocks(page, "python")), {"pipe": own})
    assert {path.name for path in tmp_path.iterdir()} >= {"tree.png", "run.trace", "segments.labels.png"}


def code(page: str) -> list[str]:
    """The code of a page, without what is said in comments and with the commands' own words alone."""
    found = re.findall(r"```(?:python|sh)\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)
    lines = [
        re.sub(r"\s+#.*", "", line).replace(" --lang ja", "")
        for block in found
        for line in block.splitlines()
    ]
    return [line.replace('.text("ja")', ".text()") for line in lines if line]


def numbers(page: str) -> list[str]:
    """What its tables say in numbers, in their order."""
    rows = [line for line in (ROOT / page).read_text("utf-8").splitlines() if line.startswith("|")]
    return [number for row in rows for number in re.findall(r"\d+(?:\.\d+)?", row)]


def test_the_japanese_readme_has_the_same_code_and_the_same_numbers():
    both = "README.md", "README.ja.md"
    english, japanese = (sorted(set(code(page))) for page in both)
    assert japanese == english
    english, japanese = (sorted(numbers(page)) for page in both)
    assert japanese == english


@pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)  # Heun's scheduler and NumPy 2
def test_the_guide_to_passes_gives_the_output_that_it_shows(tmp_path, monkeypatch):
    page = "docs/passes.md"
    monkeypatch.chdir(tmp_path)
    assert not blocks(page, "python")  # all its Python shows its output
    session = doctest.DocTestParser().get_doctest("\n".join(blocks(page, "pycon")), {}, page, page, 0)
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    results = runner.run(session, out=report.append)
    assert results.attempted > 30
    assert results.failed == 0, "".join(report)


@pytest.mark.thorough
@pytest.mark.slow
def test_the_guide_to_photos_runs_with_fewer_steps(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photo = scene(4)
    photo.pil_image.save("photo.jpg")
    program = "\n".join(blocks("docs/photos.md", "python"))
    assert program.count("null_text=True") == 2
    program = program.replace("num_inference_steps=50", "num_inference_steps=2")
    program = program.replace("null_text=True", "null_text=True, num_inference_steps=1")
    program = program.replace(
        "photo(pipe, photo, prompt)", "photo(pipe, photo, prompt, num_inference_steps=2)"
    )
    given = {"photo": photo.pil_image, "prompt": photo.caption}
    exec(program, given)
    assert {path.name for path in tmp_path.iterdir()} == {"photo.jpg", "tree.png", "photo.trace"}
    assert given["trace"].branches == ("uncond", "cond")


@pytest.mark.slow
def test_the_guide_to_statistics_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pipe = attnscope.load_pipeline("demo")
    with attnscope.capture(pipe) as trace:
        pipe("a red house", num_inference_steps=2, generator=torch.Generator().manual_seed(0))
    given = {"attnscope": attnscope, "trace": trace, "pipe": pipe}
    exec("\n".join(blocks("docs/statistics.md", "python")), given)
    assert (tmp_path / "report.html").exists()
    assert given["ranking"].all.auc > 0.9 > 0.5


@pytest.mark.slow
def test_the_guide_to_views_runs_with_the_commands_that_it_shows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec("\n".join(blocks("docs/views.md", "python")).replace("steps=10", "steps=2"), {})
    assert {path.name for path in tmp_path.iterdir()} == {"house.heads.png", "house.gif"}
    page = (ROOT / "docs" / "views.md").read_text("utf-8")
    commands = [line for line in page.splitlines() if line.startswith("attnscope ")]
    assert len(commands) == 4
    for command in commands:
        assert main(shlex.split(command.replace("--previews", "--previews -n 2"))[1:]) == 0
    assert len(list((tmp_path / "views").iterdir())) == 3


@pytest.mark.slow
def test_the_guide_to_explanations_runs():
    pipe = attnscope.load_pipeline("demo")
    with attnscope.capture(pipe) as trace:
        pipe("a red elephant on the moon", num_inference_steps=4, generator=torch.Generator().manual_seed(0))
    given = {"attnscope": attnscope, "trace": trace, "pipe": pipe}
    exec("\n".join(blocks("docs/explain.md", "python")), given)
    assert given["explanation"].word.verdict.says == "not drawn"
    assert attnscope.explain(trace).not_drawn == ("elephant",)

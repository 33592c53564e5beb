"""`attnscope demo` writes all that it names; the tiny pipeline is random, so the pictures mean nothing."""

from __future__ import annotations

import json

from picture_file import read

from attnscope.cli import demo
from attnscope.cli.run import written


def test_demo_writes_everything_once(run, model, tmp_path):
    folder = tmp_path / "demo"
    code, out, err = run("demo", "a red cat on grass", "--model", model, "-o", folder)
    assert code == 0
    files = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert files >= {
        "overview.png", "output.png", "words.png", "words/cat.png", "words/grass.png", "layers.md",
        "output.labels.png", "output.overlay.png", "output.json", "run.trace/manifest.json", "unet.svg",
        "scene.png", "scene.truth.png", "scene.labels.png", "scene.overlay.png", "scene.json", "summary.json",
        "page.html",
    }  # fmt: skip
    assert all(f"wrote {folder / name}" in err for name in ("overview.png", "words.png", "scene.truth.png"))
    assert read(folder / "overview.png").width > 1000
    score = json.loads((folder / "summary.json").read_text())["scene"]["mean_iou"]
    assert 0 <= score <= 1
    assert f"mean IoU {score:.2f}" in out


def test_demo_overwrites_only_with_force(run, model, tmp_path):
    (tmp_path / "scene.named.json").touch()
    code, _, err = run("demo", "--model", model, "-o", tmp_path)
    assert code == 1
    assert "scene.named.json exists already" in err
    assert len(list(tmp_path.iterdir())) == 1


def test_demo_knows_all_that_it_writes(run, model, tmp_path):
    """Else it could not refuse to overwrite it."""
    (tmp_path / "mine.txt").touch()
    assert run("demo", "a cat", "--model", model, "-o", tmp_path)[0] == 0
    files, folders = written(tmp_path)
    known = {path.name for path in (*files, *folders)} | set(demo._FILES) | {"mine.txt"}
    assert {path.name for path in tmp_path.iterdir()} == known

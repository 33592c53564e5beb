"""The guide to cuts, words and edges: its program runs."""

import re
from pathlib import Path

import numpy as np
import pytest

from attnscope.demo.scenes import scene

GUIDE = Path(__file__).parents[2] / "docs" / "segmenters.md"


@pytest.mark.slow
def test_the_guides_python_runs_and_finds_the_parts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture = scene(4)
    picture.pil_image.save("photo.png")
    program = "\n".join(re.findall(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL))
    given = {}
    exec(program, given)
    assert given["labels"].shape == given["sharp"].shape == picture.segments.shape
    assert len(given["maps"]) == len(picture.parts)
    balloon = given["of_words"].numpy() == 1
    overlap = balloon & picture.masks["balloon"]
    assert overlap.sum() > 0.7 * (balloon | picture.masks["balloon"]).sum()
    edge = given["at_edges"].numpy()
    changes = np.zeros(edge.shape, bool)
    changes[:, 1:] = picture.segments[:, 1:] != picture.segments[:, :-1]
    assert edge[changes].mean() > 3 * edge.mean()

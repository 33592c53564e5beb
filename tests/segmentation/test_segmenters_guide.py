"""The guide to ways to segment: its program runs."""

import re
from pathlib import Path

import numpy as np
import pytest

from attnscope.demo.scenes import scene
from attnscope.pictures.maps import resize_maps

GUIDE = Path(__file__).parents[2] / "docs" / "segmenters.md"


@pytest.mark.slow
def test_the_guides_python_runs_and_finds_the_parts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture = scene(4)
    picture.pil_image.save("photo.png")
    program = "\n".join(re.findall(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL))
    given = {}
    exec(program, given)
    assert given["cuts"].labels.shape == given["sharp"].labels.shape == picture.segments.shape
    assert len(given["cuts"].merged) == len(picture.parts)
    balloon = given["words"].mask("balloon")
    overlap = balloon & picture.masks["balloon"]
    assert overlap.sum() > 0.7 * (balloon | picture.masks["balloon"]).sum()
    edges = resize_maps(given["found"].edges[None], picture.segments.shape)[0].numpy()
    changes = np.zeros(edges.shape, bool)
    changes[:, 1:] = picture.segments[:, 1:] != picture.segments[:, :-1]
    assert edges[changes].mean() > 3 * edges.mean()
    assert (tmp_path / "compare.png").is_file()

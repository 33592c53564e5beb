"""The example of every --help runs as it stands there; a tiny pipeline takes the demo model's place.

`attnscope view` runs until it is interrupted: tests/viewer/test_serving.py.
"""

from __future__ import annotations

import shlex

import pytest

from attnscope import pipelines
from attnscope.atlas import source
from attnscope.cli import (
    compare,
    demo,
    doctor,
    evaluate,
    explain,
    export,
    generate,
    heatmap,
    info,
    layers,
    report,
    segment,
)


def examples(module):
    lines = (line.strip() for line in module.EXAMPLES.splitlines())
    found = [shlex.split(line)[1:] for line in lines if line.startswith("attnscope ")]
    assert found
    return found


@pytest.mark.thorough
@pytest.mark.slow
def test_all_examples_run_in_this_order(run, model, tmp_path, monkeypatch):
    monkeypatch.setattr(pipelines, "DEMO_FOLDER", model)
    monkeypatch.setattr(source, "DEMO_FOLDER", model)
    monkeypatch.chdir(tmp_path)
    modules = (
        layers,
        doctor,
        demo,
        generate,
        heatmap,
        explain,
        report,
        info,
        segment,
        compare,
        evaluate,
        export,
    )
    for module in modules:
        for number, example in enumerate(examples(module)):
            if "voc2012" in example:
                continue  # which is not here
            extra = (
                ["--force"]
                if number and module in (demo, generate, segment) and "--force" not in example
                else []
            )
            code, _, err = run(*example, *extra)
            assert code == 0, (example, err)

"""Outputs of modules in a trace's folder: what is written comes back, damage is found, other traces are as before."""

import json

import pytest
import torch
from trace_damage import edit_pass, rewrite, shard, verified

import attnscope
from attnscope.errors import TraceFormatError
from attnscope.records import Call, Row
from attnscope.storage.memory import MemoryRecords, in_memory
from attnscope.testing.made_traces import made_trace
from attnscope.trace.contents import Pass
from attnscope.trace.trace import Trace

FIRST, SECOND = "down_blocks.0.mask", "mid_block.steps"  # endings that other tensors of a shard have


@pytest.fixture
def kept():
    """Two calls; the second module did not run in the second one."""
    generator = torch.Generator().manual_seed(0)
    records, rows = MemoryRecords(), (Row("uncond", 0), Row("cond", 0))
    records.outputs = {FIRST: "Attention", SECOND: "Identity"}
    for number in range(2):
        outputs = {FIRST: torch.randn(2, 6, 5, generator=generator).half()}
        if number == 0:
            outputs[SECOND] = torch.randn(2, 3, 4, 4, generator=generator).transpose(2, 3)
        records.add_call(Call(number, number, 900.0 - number, rows), {}, outputs)
    return Trace(Pass(records, made_trace().run))


@pytest.fixture
def folder(kept, tmp_path):
    return kept.save(tmp_path / "run.trace")


def test_what_is_written_comes_back(kept, folder):
    again = attnscope.load_trace(folder)
    assert again.records.outputs == kept.records.outputs
    for path, step in ((FIRST, 0), (FIRST, 1), (SECOND, 0)):
        assert torch.equal(again.output(path, step=step), kept.output(path, step=step))
        assert again.output(path, step=step).dtype == kept.output(path, step=step).dtype
    assert not again.records.has(1, SECOND)
    list(verified(folder))
    twice = attnscope.load_trace(again.save(folder.with_name("again.trace")))
    assert torch.equal(twice.output(FIRST), kept.output(FIRST))
    in_ram = in_memory(again.records)
    assert torch.equal(in_ram.output(0, SECOND), kept.records.output(0, SECOND))


def test_a_trace_without_outputs_is_as_it_was(tmp_path):
    folder = made_trace().save(tmp_path / "run.trace")
    (of_pass,) = json.loads((folder / "manifest.json").read_text())["passes"]
    assert "outputs" not in of_pass
    assert all("outputs" not in call for call in of_pass["calls"])


def of_call(folder, change):
    edit_pass(folder, lambda data: change(data["calls"][0]["outputs"]))


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (lambda folder: shard(folder).unlink(), "missing; the trace is incomplete"),
        (
            lambda folder: rewrite(folder, lambda tensors: tensors.pop(f"{FIRST}.output")),
            f"lacks {FIRST}.output",
        ),
        (
            lambda folder: rewrite(folder, lambda tensors: tensors.update(more=torch.zeros(2))),
            "holds 'more'",
        ),
        (
            lambda folder: rewrite(
                folder, lambda tensors: tensors.update({f"{FIRST}.output": torch.zeros(2, 6, 5).int()})
            ),
            "is of type I32; expected one of F16",
        ),
        (
            lambda folder: of_call(folder, lambda outputs: outputs.pop(FIRST)),
            "which the manifest does not name",
        ),
        (lambda folder: of_call(folder, lambda outputs: outputs[FIRST].update(shape=[2, 5, 6])), "has shape"),
        (lambda folder: of_call(folder, lambda outputs: outputs[FIRST].update(shape=[3, 6, 5])), "of 2 rows"),
        (lambda folder: of_call(folder, lambda outputs: outputs[FIRST].update(shape=[])), "of 2 rows"),
        (lambda folder: of_call(folder, lambda outputs: outputs[FIRST].update(digest=-1)), "whole number"),
        (
            lambda folder: of_call(folder, lambda outputs: outputs.update(other=outputs[FIRST])),
            "none of the pass",
        ),
        (lambda folder: edit_pass(folder, lambda data: data.update(outputs=[1])), "manifest"),
        (
            lambda folder: edit_pass(folder, lambda data: data["outputs"].update({"": "x"})),
            "no module's path",
        ),
        (
            lambda folder: edit_pass(folder, lambda data: data["outputs"].update({"a\x1b[2J": "x"})),
            "no module's path",
        ),
        (
            lambda folder: edit_pass(
                folder, lambda data: data["outputs"].update({f"m{n}": "x" for n in range(5000)})
            ),
            "expected at most 4096",
        ),
    ],
    ids=[
        "no shard",
        "no tensor",
        "another tensor",
        "whole numbers",
        "not in the call",
        "another shape",
        "other rows",
        "no axis",
        "no digest",
        "an unknown module",
        "a list",
        "an empty path",
        "a path that acts on a terminal",
        "too many",
    ],
)
def test_damage_is_one_error_when_the_trace_is_opened(folder, damage, match):
    damage(folder)
    with pytest.raises(TraceFormatError, match=match):
        attnscope.load_trace(folder, verify=False)


def test_a_changed_number_is_found_when_it_is_first_read(folder):
    rewrite(folder, lambda tensors: tensors[f"{FIRST}.output"].add_(1))
    again = attnscope.load_trace(folder)
    assert again.output(SECOND, step=0).shape == (2, 1, 3, 4, 4)
    with pytest.raises(TraceFormatError, match=f"the output of {FIRST} is damaged"):
        again.output(FIRST, step=0)
    with pytest.raises(TraceFormatError, match="is damaged"):
        list(verified(folder))
    assert attnscope.load_trace(folder, verify=False).output(FIRST, step=0).shape == (2, 1, 6, 5)

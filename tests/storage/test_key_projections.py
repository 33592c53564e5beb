"""Key projections in a trace's folder: what is written comes back, damage is found, other traces are as before."""

import json

import pytest
import torch
from trace_damage import edit, edit_pass, rewrite, verified

import attnscope
from attnscope.errors import TraceFormatError
from attnscope.records import LayerId
from attnscope.records.projections import KeyProjection
from attnscope.storage.projections import MAX_STATE, bytes_of_projections
from attnscope.testing.made_traces import made_trace

NAME = "key-projections.safetensors"


def projections(trace):
    """One for each cross-attention; the first has all that one may have."""
    generator = torch.Generator().manual_seed(0)
    made = {}
    for layer in trace.layers:
        if layer.kind == "cross":
            inner = layer.heads * layer.head_dim
            made[layer.id] = KeyProjection(torch.randn(inner, 6, generator=generator))
    first = next(iter(made))
    made[first] = KeyProjection(
        made[first].weight, torch.randn(len(made[first].weight), generator=generator), 1e-5
    )
    return made


@pytest.fixture
def kept():
    trace = made_trace()
    trace.records.keep_projections(projections(trace))
    return trace


@pytest.fixture
def folder(kept, tmp_path):
    return kept.save(tmp_path / "run.trace")


def test_what_is_written_comes_back(kept, folder):
    again = attnscope.load_trace(folder).records.projections
    assert list(again) == list(kept.records.projections)
    for layer, expected in kept.records.projections.items():
        found = again[layer]
        assert torch.equal(found.weight, expected.weight)
        assert found.norm_eps == expected.norm_eps
        assert (found.bias is None) == (expected.bias is None)
        if found.bias is not None:
            assert torch.equal(found.bias, expected.bias)
    assert bytes_of_projections(again) == bytes_of_projections(kept.records.projections) > 0
    assert folder / NAME in attnscope.trace.files.files_of(attnscope.load_trace(folder))


def test_a_trace_without_them_is_as_it_was(tmp_path):
    folder = made_trace().save(tmp_path / "run.trace")
    assert not (folder / NAME).exists()
    (of_pass,) = json.loads((folder / "manifest.json").read_text())["passes"]
    assert list(of_pass) == ["run", "layers", "pictures", "picture_digests", "reduced", "calls"]
    assert attnscope.load_trace(folder).records.projections == {}


def entry(folder, change):
    edit_pass(folder, lambda data: change(data["key_projections"]["layers"]["block01.cross"]))


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (lambda folder: (folder / NAME).unlink(), f"{NAME}: missing"),
        (lambda folder: (folder / NAME).write_bytes((folder / NAME).read_bytes()[:-4]), NAME),
        (
            lambda folder: entry(folder, lambda item: item.update(states=7)),
            r"has shape \(\d+, 6\); the manifest says",
        ),
        (
            lambda folder: entry(folder, lambda item: item.update(states=MAX_STATE + 1)),
            "not a whole number from 1",
        ),
        (lambda folder: entry(folder, lambda item: item.update(states="6")), "not a whole number"),
        (lambda folder: entry(folder, lambda item: item.update(bias=1)), "a projection"),
        (lambda folder: entry(folder, lambda item: item.pop("bias")), "there is no 'bias'"),
        (lambda folder: entry(folder, lambda item: item.update(norm_eps="x")), "is not a number"),
        (
            lambda folder: entry(folder, lambda item: item.update(norm_eps=0.5)),
            "its header contradicts the manifest",
        ),
        (
            lambda folder: edit_pass(
                folder,
                lambda data: data["key_projections"]["layers"].update(
                    {"block01.self": {"states": 6, "bias": False, "norm_eps": None}}
                ),
            ),
            "which reads no text alone",
        ),
        (
            lambda folder: edit_pass(
                folder, lambda data: data["key_projections"]["layers"].update({"block99.cross": {}})
            ),
            "there is no 'block99.cross'",
        ),
        (
            lambda folder: edit_pass(folder, lambda data: data["key_projections"].pop("digest")),
            "there is no 'digest'",
        ),
        (lambda folder: edit_pass(folder, lambda data: data.update(key_projections=[1])), "damaged|manifest"),
    ],
)
def test_damage_is_found_when_the_trace_is_opened(folder, damage, match):
    damage(folder)
    with pytest.raises(TraceFormatError, match=match):
        attnscope.load_trace(folder, verify=False)


def test_a_flipped_bit_is_found_when_it_is_read(folder):
    data = bytearray((folder / NAME).read_bytes())
    data[-2] ^= 1
    (folder / NAME).write_bytes(data)
    trace = attnscope.load_trace(folder)
    with pytest.raises(TraceFormatError, match="damaged"):
        dict(trace.records.projections)
    with pytest.raises(TraceFormatError, match="damaged"):
        list(verified(folder))
    dict(attnscope.load_trace(folder, verify=False).records.projections)


def test_infinite_numbers_are_refused_also_where_nothing_is_compared(folder):
    def spoil(tensors):
        tensors["block01.cross.weight"][0, 0] = float("inf")

    rewrite(folder, spoil, folder / NAME)
    with pytest.raises(TraceFormatError, match="infinite"):
        attnscope.load_trace(folder, verify=False).records.projections[LayerId(1, "cross")]


def test_an_entry_changed_by_hand_is_found_by_the_manifests_digest(folder):
    edit(
        folder,
        lambda data: data["passes"][0]["key_projections"]["digest"].update({"block01.cross.weight": 1}),
    )
    with pytest.raises(TraceFormatError, match="changed since it was written|damaged"):
        dict(attnscope.load_trace(folder).records.projections)

"""A capture beside an edit records what was used, and what the model had computed."""

import pytest
import torch

import attnscope
from attnscope import Ablate, Reduced, Reweight, Temperature
from attnscope.errors import CaptureError
from capture_cases import PROMPT, leftovers, run
from edit_cases import Written

CAT = 3
EDIT = Reweight("cat", 4.0, kind="cross")


@pytest.fixture(params=["capture inside", "capture around"])
def captured(request, pipe, seeded):
    """Runs with an edit and a capture; gives the picture and the trace."""

    def run_both(*edits, **options):
        order = [attnscope.edit(pipe, *edits), attnscope.capture(pipe, **options)]
        if request.param == "capture around":
            order.reverse()
        with order[0] as first, order[1] as second:
            made = run(pipe, seeded, output_type="latent")
        assert leftovers(pipe) == []
        return made, first if isinstance(first, attnscope.Trace) else second

    return run_both


def test_the_picture_is_that_of_the_edit_alone(pipe, seeded, captured):
    made, _ = captured(EDIT)
    with attnscope.edit(pipe, EDIT):
        assert torch.equal(made, run(pipe, seeded, output_type="latent"))


def test_p_is_what_was_used(pipe, seeded, captured):
    """What a processor without attnscope multiplies with V, in every cross-attention and step."""
    _, trace = captured(EDIT)
    seen, before = [], dict(pipe.unet.attn_processors)

    def function(p):
        if p.shape[-1] == 77:
            p[1][..., CAT] *= 4
        seen.append(p.clone())
        return p

    pipe.unet.set_attn_processor({name: Written(function) for name in before})
    run(pipe, seeded)
    pipe.unet.set_attn_processor(before)
    layers = trace.layers
    assert len(seen) == 2 * len(layers)
    for number, p in enumerate(seen):
        layer, step = layers[number % len(layers)], number // len(layers)
        used = trace.probabilities(layer=layer, step=step).reshape(p.shape)
        torch.testing.assert_close(used.double(), p, atol=1e-4, rtol=0)


def test_p_before_the_edit_can_be_asked_for(captured):
    _, trace = captured(EDIT)
    asked = {"block": 3, "kind": "cross", "step": 1, "branch": "cond"}
    before, after = (trace.probabilities(**asked, before_edits=yes) for yes in (True, False))
    torch.testing.assert_close(before.sum(-1), torch.ones_like(before.sum(-1)))
    torch.testing.assert_close(after[..., CAT], 4 * before[..., CAT])
    others = [token for token in range(77) if token != CAT]
    torch.testing.assert_close(after[..., others], before[..., others])
    for more in (
        {"mean": "head"},
        {"mean": ("head", "query")},
        {"token": "cat", "head": 1},
        {"query": (1, 2)},
    ):
        whole, part = after, trace.probabilities(**asked, **more)
        whole = whole.mean(1) if "head" in more.get("mean", ()) else whole
        if "query" in more.get("mean", ()):
            whole = whole.mean(1)
        if "token" in more:
            whole = whole[:, 1][..., [CAT]]
        if "query" in more:
            whole = whole[:, :, 1 * trace.layer(3, "cross").grid.width + 2]
        torch.testing.assert_close(part, whole, atol=1e-6, rtol=0)


def test_heat_maps_and_reduced_maps_are_of_what_was_used(captured):
    _, trace = captured(EDIT, keep={"words": Reduced("cross")})
    plain = attnscope.heat_map(trace, "cat")
    reduced = attnscope.heat_map(trace, "cat", reduced="words")
    torch.testing.assert_close(
        torch.from_numpy(plain.array), torch.from_numpy(reduced.array), atol=1e-6, rtol=1e-5
    )
    maps = trace.reduced["words"].map(block=7)
    by_hand = trace.probabilities(block=7, kind="cross", branch="cond", mean=("head", "step"))[0]
    torch.testing.assert_close(maps, by_hand)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "options", [{}, {"dtype": torch.float16}, {"folder": True}, {"budget": "25MB"}], ids=str
)
def test_edits_are_in_files(tmp_path, captured, options):
    if "folder" in options:
        options = {"folder": tmp_path / "streamed"}
    _, trace = captured(EDIT, Ablate(head=1, block=3, kind="self"), **options)
    folder = tmp_path / "streamed" if "folder" in options else trace.save(tmp_path / "saved")
    again = attnscope.load_trace(folder)
    assert again.run.edits == ["Reweight('cat', 4.0, kind='cross')", "Ablate(block=3, kind='self', head=1)"]
    assert "edited" in repr(again)
    assert again.facts()["edits"] == again.run.edits
    for kind in ("self", "cross"):
        asked = {"block": 3, "kind": kind, "step": 1}
        for before in (True, False):
            one, other = (t.probabilities(**asked, before_edits=before) for t in (trace, again))
            assert torch.equal(one, other)
    assert (again.probabilities(block=3, kind="self", head=1) == 0).all()


def test_layers_without_an_edit_hold_no_p(captured):
    _, trace = captured(EDIT)
    assert trace.record(block=3, kind="self").edited is None
    assert trace.record(block=3, kind="cross").edited.shape == (2, 8, 64, 77)


def test_a_plain_run_has_no_edits(pipe, seeded):
    with attnscope.capture(pipe) as trace:
        run(pipe, seeded)
    assert trace.run.edits == []
    assert "edited" not in repr(trace)


def test_two_edits_around_a_capture_are_both_told(pipe, seeded):
    with (
        attnscope.edit(pipe, EDIT),
        attnscope.capture(pipe) as trace,
        attnscope.edit(pipe, Temperature(0.5, kind="self", block=2)),
    ):
        run(pipe, seeded)
    assert sorted(trace.run.edits) == [
        "Reweight('cat', 4.0, kind='cross')",
        "Temperature(0.5, block=2, kind='self')",
    ]


def test_an_edit_that_fails_leaves_nothing(pipe, seeded):
    with pytest.raises(ZeroDivisionError), attnscope.capture(pipe), attnscope.edit(pipe, EDIT):
        1 / 0
    assert leftovers(pipe) == []
    with pytest.raises(CaptureError, match="nothing was recorded"), attnscope.capture(pipe):
        pass
    assert run(pipe, seeded, PROMPT) is not None

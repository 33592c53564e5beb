"""Maps reduced over a run as it goes equal those computed from a full trace of the same run."""

import json

import numpy as np
import pytest
import torch

import attnscope
from attnscope import Reduced
from attnscope.diffseg import aggregate
from attnscope.errors import ParameterError, SelectionError, TraceFormatError
from attnscope.records import Grid
from attnscope.segmentation.segment import segment_trace

PROMPT = "a red cat and the star"
CLOSE = {"atol": 1e-6, "rtol": 1e-5}  # float32 sums in another order
KEEP = {
    "words": Reduced("cross"),
    "words-all": Reduced("cross", per="all"),
    "words-grid": Reduced("cross", per="grid"),
    "scene": Reduced("self", per="grid"),
    "scene-all": Reduced("self", per="all"),
    "sum": Reduced("self", how="sum"),
    "max": Reduced("self", how="max", branch="uncond"),
    "last": Reduced("self", how="last"),
    "top": Reduced("cross", how="top", top=2),
    "some": Reduced("cross", blocks=[3, 16], steps=[0, 2]),
    "one": Reduced("cross", blocks=3),
}


@pytest.fixture(scope="module")
def both(_shared_pipe):
    """A trace of everything and reduced maps, of one run with two images."""
    with attnscope.capture(_shared_pipe, keep=KEEP) as trace:
        _shared_pipe(
            PROMPT,
            num_inference_steps=3,
            num_images_per_prompt=2,
            output_type="pil",
            generator=torch.Generator().manual_seed(0),
        )
    return trace


def per_step(trace, layer, *, branch="cond", image=1):
    return trace.probabilities(block=layer.block, kind=layer.kind, branch=branch, image=image, mean="head")


def layers(trace, kind):
    return [layer for layer in trace.layers if layer.kind == kind]


@pytest.mark.parametrize(
    ("name", "kind", "branch", "expected"),
    [
        ("words", "cross", "cond", lambda steps: steps.mean(0)),
        ("sum", "self", "cond", lambda steps: steps.sum(0)),
        ("max", "self", "uncond", lambda steps: steps.amax(0)),
        ("last", "self", "cond", lambda steps: steps[-1]),
        ("top", "cross", "cond", lambda steps: steps.topk(2, dim=0).values),
        ("some", "cross", "cond", lambda steps: steps[[0, 2]].mean(0)),
    ],
)
def test_every_rule_equals_the_full_trace(both, name, kind, branch, expected):
    kept = both.reduced[name]
    chosen = [layer for layer in layers(both, kind) if kept.reduction.takes(layer.id)]
    assert len(kept.maps) == len(chosen) == (2 if name == "some" else 16)
    for layer in chosen:
        found = kept.map(block=layer.block, image=1)
        torch.testing.assert_close(found, expected(per_step(both, layer, branch=branch)), **CLOSE)


def test_top_knows_the_steps_of_its_values(both):
    layer = layers(both, "cross")[0]
    steps = per_step(both, layer)
    numbers = both.reduced["top"].step_numbers[layer.id][:, 1].long()
    torch.testing.assert_close(steps.gather(0, numbers), steps.topk(2, dim=0).values, **CLOSE)


def test_a_map_per_grid_is_the_mean_of_its_layers(both):
    kept = both.reduced["scene"]
    assert list(kept.maps) == [Grid(16, 16), Grid(8, 8), Grid(4, 4), Grid(2, 2)]
    for grid in kept.maps:
        alike = [per_step(both, layer).mean(0) for layer in layers(both, "self") if layer.grid == grid]
        torch.testing.assert_close(kept.map(grid=grid, image=1), torch.stack(alike).mean(0), **CLOSE)


def test_all_self_attention_in_one_is_diffsegs_aggregate_of_each_step(both):
    expected = []
    for step in range(3):
        maps = [(per_step(both, layer)[step], tuple(layer.grid)) for layer in layers(both, "self")]
        expected.append(aggregate(maps).reshape(256, 256))
    torch.testing.assert_close(both.reduced["scene-all"].map(image=1), torch.stack(expected).mean(0), **CLOSE)


@pytest.mark.parametrize("name", ["words", "words-grid", "words-all"])
@pytest.mark.parametrize("word", ["cat", "red cat", "<end>"])
def test_heat_maps_of_reduced_maps_equal_those_of_the_full_trace(both, name, word):
    whole = attnscope.heat_map(both, word, image=1)
    reduced = attnscope.heat_map(both, word, image=1, reduced=name)
    np.testing.assert_allclose(reduced.array, whole.array, atol=1e-6, rtol=1e-5)
    assert reduced.word == whole.word


@pytest.mark.parametrize("name", ["scene", "sum", "scene-all"])  # a sum has the mean's proportions
def test_segments_of_reduced_maps_equal_those_of_the_full_trace(both, name):
    whole = segment_trace(both, thresholds=0.3, image=1)
    reduced = segment_trace(both, thresholds=0.3, image=1, reduced=name)
    torch.testing.assert_close(reduced.aggregated, whole.aggregated, atol=1e-8, rtol=1e-4)
    assert (reduced.labels == whole.labels).mean() > 0.999  # equal but for pixels that rounding decides
    assert reduced.origin["reduced"] == name


def test_without_steps_no_query_and_key_is_kept(pipe, seeded):
    with attnscope.capture(pipe, qk=False, keep={"words": Reduced("cross")}) as trace:
        pipe(PROMPT, num_inference_steps=2, output_type="pt", generator=seeded())
    assert trace.steps == ()
    assert trace.layers == ()
    assert trace.reduced["words"].steps == (0, 1)
    assert attnscope.heat_map(trace, "cat", reduced="words").array.sum() > 0


def test_the_picture_is_bit_for_bit_the_same(pipe, seeded):
    plain = pipe(PROMPT, num_inference_steps=2, output_type="pt", generator=seeded()).images
    with attnscope.capture(pipe, steps=[1], keep=KEEP | {"some": Reduced("self", steps=slice(1, None))}):
        kept = pipe(PROMPT, num_inference_steps=2, output_type="pt", generator=seeded()).images
    assert torch.equal(plain, kept)


@pytest.mark.parametrize("as_it_goes", [True, False])
def test_reduced_maps_are_saved_and_open_again(pipe, seeded, tmp_path, as_it_goes):
    where = {"where": tmp_path / "run.trace"} if as_it_goes else {}
    keep = {name: KEEP[name] for name in ("words", "scene", "scene-all", "top")}
    with attnscope.capture(pipe, steps=[0], keep=keep, **where) as trace:
        pipe(PROMPT, num_inference_steps=2, generator=seeded())
    if not as_it_goes:
        trace.save(tmp_path / "run.trace")
    opened = attnscope.load_trace(tmp_path / "run.trace")
    assert opened.reduced.keys() == keep.keys()
    for name, kept in trace.reduced.items():
        again = opened.reduced[name]
        assert (again.reduction, again.steps, again.layers) == (kept.reduction, (0, 1), kept.layers)
        assert all(torch.equal(again.maps[key], value) for key, value in kept.maps.items())
        assert all(torch.equal(again.step_numbers[key], value) for key, value in kept.step_numbers.items())
    before, after = (attnscope.heat_map(one, "cat", reduced="words").array for one in (trace, opened))
    assert np.array_equal(before, after)


def test_info_tells_of_reduced_maps_and_words(pipe, tmp_path, capsys):
    from attnscope.cli import main

    with attnscope.capture(pipe, steps=[], keep={"words": Reduced("cross")}) as trace:
        pipe(PROMPT, num_inference_steps=2, output_type="latent")
    folder = str(trace.save(tmp_path / "run.trace"))
    assert main(["info", folder]) == 0
    text = capsys.readouterr().out
    assert "mean of cross-attention over 2 steps" in text
    assert "star" in text
    assert main(["info", folder, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["reduced"]["words"]["steps"] == [0, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda entry: entry["words"].update(how="median"), "how is 'median'"),
        (lambda entry: entry["words"].update(steps=[-1]), "not a whole number"),
        (lambda entry: entry.update({"../words": entry.pop("words")}), "reduced maps named"),
        (lambda entry: entry["words"].pop("layers"), "layers"),
        (lambda entry: entry["words"]["layers"][0].update(keys=78), "has shape"),
    ],
)
def test_a_damaged_entry_is_one_clear_error(pipe, tmp_path, change, message):
    with attnscope.capture(pipe, steps=[], keep={"words": Reduced("cross")}) as trace:
        pipe(PROMPT, num_inference_steps=1, output_type="latent")
    manifest = trace.save(tmp_path / "run.trace") / "manifest.json"
    content = json.loads(manifest.read_text())
    change(content["passes"][0]["reduced"])
    manifest.write_text(json.dumps(content))
    with pytest.raises(TraceFormatError, match=message):
        attnscope.load_trace(tmp_path / "run.trace")


def test_an_interrupted_run_keeps_the_maps_of_its_complete_steps(pipe):
    def stop(pipe, step, timestep, kwargs):
        if step == 1:
            raise KeyboardInterrupt
        return kwargs

    with (
        pytest.raises(KeyboardInterrupt),
        attnscope.capture(pipe, steps=[], keep={"a": Reduced("cross")}) as trace,
    ):
        pipe(PROMPT, num_inference_steps=5, callback_on_step_end=stop)
    assert trace.reduced["a"].steps == (0, 1)


def test_a_branch_that_does_not_run_is_said(pipe):
    with (
        pytest.raises(SelectionError, match="branch 'uncond': this run has 'cond'"),
        attnscope.capture(pipe, keep={"a": Reduced("cross", branch="uncond")}),
    ):
        pipe(PROMPT, num_inference_steps=1, guidance_scale=1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Reduced("both"), "kind is 'both'; expected one of 'self', 'cross'"),
        (lambda: Reduced("self", how="median"), "how is 'median'"),
        (lambda: Reduced("self", per="head"), "per is 'head'"),
        (lambda: Reduced("self", how="top", top=0), "top is 0"),
        (lambda: Reduced("self", blocks=[]), r"blocks are \[\]"),
        (lambda: Reduced("self", blocks=-1), "blocks are -1"),
    ],
)
def test_wrong_reductions_are_explained(make, message):
    with pytest.raises(ParameterError, match=message):
        make()


@pytest.mark.parametrize("keep", [{"a b": Reduced("self")}, {"": Reduced("self")}, {"a": "mean"}])
def test_wrong_names_and_reductions_are_refused(pipe, keep):
    with pytest.raises(ParameterError, match="keep"):
        attnscope.capture(pipe, keep=keep)


def test_an_order_for_a_block_that_the_model_lacks_is_refused(pipe):
    with pytest.raises(SelectionError, match="block 17: this run has 1 to 16"):
        attnscope.capture(pipe, keep={"a": Reduced("self", blocks=[1, 17])})


def test_what_was_not_kept_is_said(both):
    with pytest.raises(SelectionError, match="'wrods'.*'words'"):
        attnscope.heat_map(both, "cat", reduced="wrods")
    with pytest.raises(SelectionError, match="self-attention, not of cross-attention"):
        attnscope.heat_map(both, "cat", reduced="scene")
    with pytest.raises(SelectionError, match="block 4 cross: kept are maps of block 3 cross, block 16 cross"):
        both.reduced["some"].map(block=4)
    with pytest.raises(SelectionError, match="neither block nor grid"):
        both.reduced["some"].map()
    with pytest.raises(SelectionError, match="image 2: this run has 0 to 1"):
        both.reduced["words"].map(block=1, image=2)
    with pytest.raises(ParameterError, match="several values a place"):
        attnscope.heat_map(both, "cat", reduced="top")
    with pytest.raises(ParameterError, match="steps can't be chosen for reduced maps"):
        attnscope.heat_map(both, "cat", reduced="words", steps=[0])


def test_the_estimate_is_what_is_kept(both):
    for name, kept in both.reduced.items():
        held = sum(value.numel() * 4 for value in (*kept.maps.values(), *kept.step_numbers.values()))
        assert kept.reduction.bytes(both.layers, Grid(16, 16)) == held, name

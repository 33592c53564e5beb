"""The harness itself: what is wrong is seen in its own column, and in no other."""

from dataclasses import replace

import pytest
import torch
from diffusers.models import attention_processor

from attnscope.atlas.families import SD3 as SD3_FAMILY
from compatibility import processors, transformer_parts
from compatibility.cases import CASES
from compatibility.report import quiet
from compatibility.running import outcome
from compatibility.schedulers import NOT_HERE, names
from transformer_cases import BOTH

PLAIN, SD3 = CASES["StableDiffusionPipeline"], CASES["StableDiffusion3Pipeline"]


@pytest.fixture(scope="module", autouse=True)
def _quiet():
    with quiet():
        yield


def wrong_columns(**changes):
    return [column for column, cell in outcome(replace(PLAIN, **changes)).items() if cell.verdict != "right"]


def test_nothing_is_wrong_with_plain_stable_diffusion():
    assert wrong_columns() == []


def test_keys_a_little_larger_are_seen_in_p_and_heat_map():
    assert wrong_columns(keys=lambda key, path: key * 1.001) == ["P right", "heat map"]


def test_rows_the_other_way_round_are_seen():
    assert wrong_columns(branches=("cond", "uncond")) == ["rows right", "heat map"]


def test_another_token_is_seen_in_the_heat_map():
    assert wrong_columns(tokens=(2,)) == ["heat map"]


def test_another_number_of_steps_is_seen():
    assert wrong_columns(steps=3) == ["capture"]


def test_a_picture_that_changes_is_seen():
    pictures = iter(range(100))
    assert wrong_columns(run=lambda pipe: PLAIN.run(pipe) + next(pictures)) == ["picture unchanged"]


def test_a_layer_that_is_missing_without_a_word_is_seen(monkeypatch):
    monkeypatch.setattr("attnscope.recording.planning.modules.is_attention", lambda module: _kept(module))
    assert "capture" in wrong_columns()


def _kept(module):
    return isinstance(module, attention_processor.Attention) and module.to_q.out_features != 16


def test_a_crash_of_the_run_is_wrong_and_not_refused(monkeypatch):
    def crash(*args):
        raise TypeError("not on purpose")

    monkeypatch.setattr("attnscope.recording.running.session.Session.begin_call", crash)
    cells = outcome(PLAIN)
    assert {cell.verdict for cell in cells.values()} == {"wrong"}
    assert "TypeError: not on purpose" in cells["capture"].text


def test_a_case_that_breaks_by_itself_is_an_error():
    with pytest.raises(ZeroDivisionError):
        outcome(replace(PLAIN, run=lambda pipe: 1 / 0))


def wrong_of_transformer(known=None, **changes):
    fact = replace(transformer_parts.KNOWN["StableDiffusion3Pipeline"], **(known or {}))
    case = transformer_parts.case("it", "", fact, SD3.build, {}, branches=changes.pop("branches", BOTH))
    found = outcome(replace(case, **changes))
    return [column for column, cell in found.items() if cell.verdict != "right"]


def test_nothing_is_wrong_with_plain_stable_diffusion_3():
    assert wrong_of_transformer() == []


def test_parts_of_a_sequence_in_another_order_are_seen():
    ordered = ("text/clip", "text/t5", "image")
    sides = {".attn": (ordered, ordered), ".attn2": (("image",), ("image",))}
    assert wrong_of_transformer({"sides": sides}) == ["P right", "heat map"]


def test_parts_of_other_lengths_are_seen():
    assert wrong_of_transformer({"tokens": {"text/clip": 76, "text/t5": 13}}) == ["P right"]


def test_other_tokens_of_a_transformer_are_seen():
    assert wrong_of_transformer({"cat": (3,)}) == ["heat map"]


def test_other_places_and_rows_and_steps_of_a_transformer_are_seen():
    assert wrong_of_transformer(branches=(("cond", "uncond"),)) == ["rows right", "heat map"]
    assert wrong_of_transformer(steps=3) == ["capture"]


def test_an_attention_that_a_family_lacks_without_a_word_is_seen(monkeypatch):
    kept = SD3_FAMILY.place

    def without_second(family, path):
        return None if path.endswith("attn2") else kept(path)

    monkeypatch.setattr(type(SD3_FAMILY), "place", without_second)
    monkeypatch.setattr("attnscope.recording.running.gaps.layers_not_recorded", lambda family, model: {})
    assert "capture" in wrong_of_transformer()


def test_hooks_on_projections_see_what_diffusers_computes():
    """The truth beside diffusers' own softmax, in float64."""
    from compatibility.truth import watched

    torch.manual_seed(0)
    attention = attention_processor.Attention(
        16, heads=2, dim_head=8, processor=attention_processor.AttnProcessor()
    )
    attention.double()
    seen = []
    original = attention.get_attention_scores
    attention.get_attention_scores = lambda *args: seen.append(original(*args)) or seen[-1]
    model = torch.nn.Sequential(attention)
    with watched([model]) as (watch,), torch.no_grad():
        model(torch.randn(3, 5, 16, dtype=torch.float64))
    (run,) = watch.calls[0].layers["0"]
    assert torch.allclose(run.probability().flatten(0, 1), seen[0], atol=1e-14)


def test_every_processor_of_diffusers_is_tried_or_has_a_reason():
    own = [name for name in vars(attention_processor) if "AttnProcessor" in name or "Processor2_0" in name]
    reasons = tuple(prefix for prefixes in processors.NOT_FOR_A_UNET.values() for prefix in prefixes)
    rest = [
        name
        for name in own
        if isinstance(vars(attention_processor)[name], type) and not name.startswith(reasons)
    ]
    elsewhere = {
        "AttnAddedKVProcessor2_0",
        "IPAdapterAttnProcessor2_0",
        "FusedAttnProcessor2_0",
    }  # come with their models
    assert set(rest) - set(CASES) - elsewhere == set()


def test_every_compatible_scheduler_is_a_case_or_has_a_reason():
    assert set(names()) <= set(CASES)
    assert not set(NOT_HERE) & set(CASES)

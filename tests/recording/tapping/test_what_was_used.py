"""What a trace holds is what the layer used, whatever its processor does besides; or the capture says why it can't."""

import pytest
import torch

import attnscope
import written_processors
from attnscope.errors import CaptureError, SelectionError, UnobservedError
from capture_cases import leftovers, run
from device_reads import as_on_a_gpu
from written_processors import along

RIGHT = [
    written_processors.Written,
    written_processors.QueryOverwritten,
    written_processors.WarmUp,
    written_processors.LooksAtItsShape,
    written_processors.QueryChunks,
    written_processors.RowByRow,
    written_processors.StyleAligned,
    written_processors.ReferenceFirst,
    written_processors.CrossFrame,
    written_processors.RowBefore,
    written_processors.Scores,
    written_processors.StoredAndMultiplied,
    written_processors.QueriesOfAllHeads,
    written_processors.MaskOverwritten,
    written_processors.MaskOfEachRow,
    written_processors.MaskOfEachChunk,
    written_processors.SparseProduct,
    written_processors.ProductIntoMemory,
]


@pytest.mark.parametrize("processor", RIGHT, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("inference", [False, True], ids=["no_grad", "inference_mode"])
def test_every_row_of_every_layer_is_what_was_used(pipe, seeded, processor, inference):
    written = processor()
    pipe.unet.set_attn_processor(written)
    with torch.inference_mode(inference), attnscope.capture(pipe) as trace:
        captured = run(pipe, seeded, num_inference_steps=1)
    truth = dict(zip(trace.layers, written.seen, strict=True))
    for layer in trace.layers:
        shares = trace.probabilities(layer=layer, step=0).flatten(0, 1)
        torch.testing.assert_close(shares.double(), truth[layer], rtol=0, atol=2e-6)
        assert torch.allclose(shares.sum(-1), torch.ones(1))
    with torch.inference_mode(inference):
        assert torch.equal(captured, run(pipe, seeded, num_inference_steps=1))


@pytest.mark.parametrize(
    ("processor", "cause"),
    [
        (written_processors.EditedInPlace, "changes the attention probabilities before it uses them"),
        (written_processors.EditedInACopy, "changes the attention probabilities before it uses them"),
        (written_processors.EditedBySum, "changes the attention probabilities before it uses them"),
        (written_processors.EditedAfterAMean, "changes the attention probabilities before it uses them"),
        (written_processors.EditedThroughNumpy, "changes the attention probabilities before it uses them"),
        (written_processors.EditedInAList, "changes the attention probabilities before it uses them"),
        (written_processors.KeysInTwoParts, "it computed attention of shape"),
        (written_processors.Reordered, "in another order of rows"),
        (along(1, written_processors.Reordered), "takes the queries in another order"),
        (along(2, written_processors.Reordered), "takes the queries in another order"),
        (written_processors.HeadsBeforeRows, "takes the queries in another order"),
        (written_processors.TokensReordered, "takes the keys in another order"),
        (written_processors.ResultReordered, "puts the result in another order"),
        (along(1, written_processors.ResultReordered), "puts the result in another order"),
        (along(2, written_processors.ResultReordered), "puts the result in another order"),
        (written_processors.ResultOfFirstRow, "puts the result in another order"),
        (written_processors.ResultInChunksReordered, "puts the result in another order"),
        (written_processors.ProductReordered, "puts the result in another order"),
        (written_processors.OutputReordered, "puts the result in another order"),
        (written_processors.LinearProduct, "multiplies its attention probabilities with V in a way"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
@pytest.mark.parametrize("how", ["no_grad", "inference_mode", "as on a GPU"])
def test_what_q_and_k_do_not_tell_is_refused_by_name(pipe, seeded, processor, cause, how, monkeypatch):
    pipe.unet.set_attn_processor(processor())
    if how == "as on a GPU":
        as_on_a_gpu(monkeypatch)
    with (
        pytest.raises(UnobservedError, match=cause) as caught,
        torch.inference_mode(how == "inference_mode"),
        attnscope.capture(pipe),
    ):
        run(pipe, seeded)
    assert f"processor {processor.__name__}" in str(caught.value)
    assert leftovers(pipe) == []


def test_what_a_processor_does_later_is_seen_too(pipe, seeded):
    pipe.unet.set_attn_processor(written_processors.ReorderedLate())
    with pytest.raises(UnobservedError, match="puts the result in another order"), attnscope.capture(pipe):
        run(pipe, seeded, num_inference_steps=16)


@pytest.mark.parametrize("processor", [written_processors.StyleAligned, written_processors.ReferenceFirst])
def test_keys_from_another_picture_are_a_part_of_their_own(pipe, seeded, processor, tmp_path):
    pipe.unet.set_attn_processor(processor())
    # in block 1 both rows hold the same noise, so own and reference keys are the same numbers
    with attnscope.capture(pipe, blocks=2) as trace:
        run(pipe, seeded, num_inference_steps=1)
    trace = attnscope.load_trace(trace.save(tmp_path / "run.trace"))
    layer = trace.layers[2, "self"]
    places = layer.grid.places
    names = ["own", "reference"] if processor is written_processors.StyleAligned else ["reference", "own"]
    assert [tuple(part) for part in layer.parts] == [(name, places) for name in names]
    whole = trace.probabilities(layer=layer)
    for at, name in enumerate(names):
        part = trace.probabilities(layer=layer, part=name)
        torch.testing.assert_close(part, whole[..., at * places : (at + 1) * places])
    corner = trace.probabilities(layer=layer, part="own", key=(0, 1))
    torch.testing.assert_close(corner, whole[..., names.index("own") * places + 1])
    with pytest.raises(SelectionError, match="choose one with part="):
        trace.probabilities(layer=layer, key=(0, 1))
    with pytest.raises(
        SelectionError, match="the keys of block 2 self are 'own', 'reference'|'reference', 'own'"
    ):
        trace.probabilities(layer=layer, part="others")
    with pytest.raises(SelectionError, match="does not attend to its own places alone"):
        attnscope.segment(trace)


def test_two_attentions_over_the_same_keys_are_no_slices_of_one(pipe, seeded):
    pipe.unet.set_attn_processor(written_processors.Difference())
    with pytest.raises(CaptureError, match="queries are not the 16x16 places"), attnscope.capture(pipe):
        run(pipe, seeded)


@pytest.mark.parametrize("processor", [written_processors.CrossFrame, written_processors.RowBefore])
def test_keys_of_another_row_are_no_places_of_their_own(pipe, seeded, processor):
    pipe.unet.set_attn_processor(processor())
    with attnscope.capture(pipe) as trace:
        run(pipe, seeded, num_inference_steps=1)
    parts = {layer.parts for layer in trace.layers.of_kind("self")}
    assert {part.name for of_layer in parts for part in of_layer} == {"reference"}


def test_dropout_in_training_is_named(pipe, seeded):
    class Dropping(written_processors.Written):
        def attend(self, attn, q, k, v, *, is_self):
            return torch.nn.functional.scaled_dot_product_attention(q, k, v, dropout_p=0.9)

    pipe.unet.set_attn_processor(Dropping())
    with pytest.raises(UnobservedError, match="dropout in training mode"), attnscope.capture(pipe):
        run(pipe, seeded)

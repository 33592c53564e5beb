"""A run that is under way is never stopped by its capture: what can't be recorded of it is said at the end."""

import re
import warnings

import pytest
import torch

import attnscope
import written_processors
from attnscope import Reduced
from attnscope.errors import CaptureError, UnobservedError
from attnscope.recording.running.passes import IncompleteCaptureWarning
from capture_cases import leftovers, run
from obstacle_cases import BOTH, assert_captured, call, small_pipe
from written_processors import StyleAligned

OF_ALL = {"all": Reduced("self", per="all"), "each": Reduced("self")}


def said_by(caught):
    return " ".join(str(warning.message) for warning in caught)


def gaps(unet, *actions):
    """The trace of a U-Net while these are done, and what the capture warns of."""
    with (
        warnings.catch_warnings(record=True) as caught,
        torch.no_grad(),
        attnscope.capture(unet, branches=BOTH) as trace,
    ):
        warnings.simplefilter("always")
        for act in actions:
            act()
    return trace, said_by(caught)


def inputs(rows=2, keys=9):
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(rows, 4, 16, 16, generator=generator),
        torch.tensor(3),
        torch.randn(rows, keys, 16, generator=generator),
    )


def share_keys(pipe, layers):
    """Give some layers a processor whose rows look at the first row, too."""
    own = dict(pipe.unet.attn_processors)
    pipe.unet.set_attn_processor({**own, **{f"{layer.path}.processor": StyleAligned() for layer in layers}})


def test_reduced_maps_are_without_layers_of_shared_keys(pipe, seeded):
    with attnscope.capture(pipe, kind="self") as trace:
        run(pipe, seeded, num_inference_steps=1)
    some = [trace.layers[2, "self"], trace.layers[5, "self"]]
    share_keys(pipe, some)
    plain = run(pipe, seeded)
    with (
        pytest.warns(IncompleteCaptureWarning) as caught,
        attnscope.capture(pipe, keep=OF_ALL, qk=False) as trace,
    ):
        captured = run(pipe, seeded)
    assert torch.equal(captured, plain)
    said = said_by(caught)
    for name in OF_ALL:
        assert f"reduced maps {name!r} are without block 2 self, block 5 self, whose keys" in said
        assert trace.reduced[name].steps == (0, 1)
    blocks = [layer.block for layer in trace.reduced["each"].layers]
    assert blocks == [block for block in range(1, 17) if block not in (2, 5)]
    others = {"all": Reduced("self", per="all", blocks=blocks)}
    with attnscope.capture(pipe, keep=others, qk=False) as chosen:
        run(pipe, seeded)
    assert torch.equal(trace.reduced["all"].map(), chosen.reduced["all"].map())


def test_nothing_but_shared_keys_is_said_when_the_run_is_over(pipe, seeded):
    pipe.unet.set_attn_processor(StyleAligned())
    plain, pictures = run(pipe, seeded), []
    with (
        pytest.raises(CaptureError, match=r"nothing was recorded: .* are without .*\(own, reference\)"),
        attnscope.capture(pipe, keep=OF_ALL, qk=False),
    ):
        pictures.append(run(pipe, seeded))
    assert torch.equal(pictures[0], plain)
    assert leftovers(pipe) == []


def test_a_call_with_other_keys_is_left_out_and_said():
    unet = small_pipe().unet
    trace, said = gaps(unet, *(lambda keys=keys: unet(*inputs(keys=keys)) for keys in (9, 12, 9)))
    assert "so the trace lacks them: block 1 cross in steps 1; " in said
    assert "12 keys, but 16x16 and 9 in an earlier call" in said
    assert "did not run" not in said
    assert [call.step for call in trace.calls] == [0, 1, 2]
    assert trace.probabilities(layer=trace.layers[1, "self"]).shape[-1] == 256


def test_a_call_with_rows_that_nothing_names_is_left_out_and_said():
    unet = small_pipe().unet
    trace, said = gaps(unet, *(lambda rows=rows: unet(*inputs(rows=rows)) for rows in (2, 3, 2)))
    assert "calls of the model in steps 1 are not in the trace, because the model got 3 rows" in said
    assert "never came" not in said
    assert [call.step for call in trace.calls] == [0, 2]


def test_what_a_check_finds_late_is_raised_when_the_run_is_over(pipe, seeded):
    pictures = []
    pipe.unet.set_attn_processor(written_processors.ReorderedLate())
    with pytest.raises(UnobservedError, match="puts the result in another order"), attnscope.capture(pipe):
        pictures.append(run(pipe, seeded, num_inference_steps=16))
    pipe.unet.set_attn_processor(written_processors.ReorderedLate())
    assert torch.equal(pictures[0], run(pipe, seeded, num_inference_steps=16))


# A forward that changes under a capture


def calls_processor(attn):
    def forward(hidden_states, encoder_hidden_states=None, attention_mask=None, **kwargs):
        return attn.processor(attn, hidden_states, encoder_hidden_states, attention_mask)

    return forward


def replaced(attn):
    attn.forward = calls_processor(attn)


def replaced_and_put_back(attn):
    attn.forward = calls_processor(attn)

    def put_back(module, args, output):
        del module.forward
        handle.remove()

    handle = attn.register_forward_hook(put_back)


def deleted(attn):
    del attn.forward


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (replaced, "was replaced by .*calls_processor.*, which does not call the one that it found, while"),
        (replaced_and_put_back, "was deleted while the capture watched it"),
        (deleted, "was deleted while the capture watched it"),
    ],
)
def test_a_forward_that_changes_during_a_capture_is_the_cause(change, cause):
    pipe = small_pipe()
    attn = pipe.unet.get_submodule("mid_block.attentions.0.transformer_blocks.0.attn1")
    plain = call(pipe.unet)
    results = []
    again = lambda: results.append(call(pipe.unet).sample)  # noqa: E731
    trace, said = gaps(pipe.unet, again, lambda: change(attn), again, again)
    assert all(torch.equal(result, plain.sample) for result in results)
    middle = next(layer for layer in trace.layers if "mid_block" in layer.path and layer.kind == "self")
    assert f"{middle.id} in steps 1 to 2" in said
    assert re.search(cause, said)
    assert len(trace.steps) == 3
    assert leftovers(pipe) == []


def test_a_forward_replaced_before_the_capture_is_watched():
    """What the message advises."""
    pipe = small_pipe()
    replaced(pipe.unet.get_submodule("mid_block.attentions.0.transformer_blocks.0.attn1"))
    assert_captured(pipe)


def test_a_forward_that_calls_the_one_it_found_is_watched():
    pipe = small_pipe()
    attn = pipe.unet.get_submodule("mid_block.attentions.0.transformer_blocks.0.attn1")
    with warnings.catch_warnings(), attnscope.capture(pipe.unet, branches=BOTH) as trace:
        warnings.simplefilter("error")
        call(pipe.unet)
        found = attn.forward
        attn.forward = lambda *args, **kwargs: found(*args, **kwargs)
        call(pipe.unet)
    assert all(len(trace.steps) == 2 for _ in trace.layers)
    del attn.forward
    assert_captured(pipe)

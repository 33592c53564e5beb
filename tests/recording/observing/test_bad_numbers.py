"""A run whose numbers overflow goes on as without a capture; the trace says which layer and step gave none."""

import itertools
import warnings

import numpy as np
import pytest
import torch

import attnscope
from attnscope.errors import NumbersError
from attnscope.recording.running.passes import IncompleteCaptureWarning

KEEP = {
    f"{kind}-{how}-{per}": attnscope.Reduced(kind, how, per)
    for kind, how, per in itertools.product(("self", "cross"), ("mean",), ("layer", "grid", "all"))
}


def run(pipe):
    def lose_the_latents(_pipe, index, _timestep, inputs):
        return {**inputs, "latents": inputs["latents"] * (float("nan") if index == 0 else 1)}

    generator = torch.Generator().manual_seed(0)
    how = {"num_inference_steps": 3, "output_type": "latent", "callback_on_step_end": lose_the_latents}
    return np.asarray(pipe("a red house", generator=generator, **how).images[0])


@pytest.fixture(scope="module")
def pipe():
    pipe = attnscope.load_pipeline("demo", device="cpu")
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.mark.thorough
@pytest.mark.parametrize("qk", [False, True])
def test_the_run_goes_on_and_reduced_maps_say_layer_and_step(pipe, tmp_path, qk):
    plain = run(pipe)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with attnscope.capture(pipe, qk=qk, keep=KEEP) as trace:
            watched = run(pipe)
    gaps = [str(warning.message) for warning in warned if warning.category is IncompleteCaptureWarning]
    assert gaps[0].startswith(
        "there are no reduced maps 'self-mean-layer': step 1, block 1 self: query holds"
    )
    assert len(gaps) == len(KEEP)
    np.testing.assert_array_equal(plain, watched)
    trace.save(tmp_path / "run.trace")
    for read in (trace, attnscope.load_trace(tmp_path / "run.trace")):
        for name, reduction in KEEP.items():
            with pytest.raises(NumbersError, match=rf"step 1, block 1 {reduction.kind}: query holds .* NaN"):
                read.reduced[name].map(block=1)
        with pytest.raises(NumbersError, match="step 1, block 1 cross: query holds"):
            attnscope.heat_map(read, "house", reduced="cross-mean-grid")
        with pytest.raises(NumbersError, match="step 1, block 1 self: query holds"):
            attnscope.segment(read, reduced="self-mean-all")


def test_steps_before_it_can_be_asked_for(pipe):
    with attnscope.capture(pipe) as trace:
        run(pipe)
    assert attnscope.heat_map(trace, "house", steps=0).array.max() > 0
    for ask in (lambda: attnscope.heat_map(trace, "house"), lambda: attnscope.word_table(trace)):
        with pytest.raises(NumbersError, match="block 1 cross in step 1: query holds"):
            ask()

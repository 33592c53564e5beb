"""Rows that the user names, of pipelines that attnscope does not know."""

import diffusers
import pytest
import torch

import attnscope
from attnscope.recording.running.passes import IncompleteCaptureWarning
from attnscope.testing.transformers import tiny_wan
from transformer_cases import seen_attention


class OneCallForEachBranch(diffusers.DiffusionPipeline):
    """Somebody's own pipeline."""

    def __init__(self, transformer, scheduler):
        super().__init__()
        self.register_modules(transformer=transformer, scheduler=scheduler)

    @torch.no_grad()
    def __call__(self, texts, *, evaluations=1):
        latents = torch.randn(1, 4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        self.scheduler.set_timesteps(2)
        for t in self.scheduler.timesteps:
            for _ in range(evaluations):
                for text in texts:
                    made = self.transformer(latents, encoder_hidden_states=text, timestep=t.expand(1))[0]
            latents = self.scheduler.step(made, t, latents)[0]
        return latents


@pytest.fixture
def pipe(tmp_path):
    tiny = tiny_wan(tmp_path)
    return OneCallForEachBranch(tiny.transformer, tiny.scheduler)


def text(seed):
    return torch.randn(1, 6, 32, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("evaluations", [1, 2])
def test_a_call_with_another_text_does_not_get_the_name_of_the_first_one(pipe, evaluations):
    texts = [text(1), text(2)]
    with seen_attention(pipe.transformer) as seen:
        pipe(texts, evaluations=evaluations)
    said = "steps 0 to 1 are not in the trace, because a call has other texts than the first one"
    with (
        pytest.warns(IncompleteCaptureWarning, match=said),
        attnscope.capture(pipe, branches=["cond"]) as trace,
    ):
        pipe(texts, evaluations=evaluations)
    assert [(call.step, call.rows[0].branch) for call in trace.calls] == [
        (step, "cond") for step in (0, 1) for _ in range(evaluations)
    ]
    for layer in trace.layers:
        truth = torch.stack(seen[layer.path][:: 2 * evaluations])[:, 0]
        ours = torch.stack(
            [trace.probabilities(layer=layer, step=step, call=0, branch="cond", image=0) for step in (0, 1)]
        )
        torch.testing.assert_close(ours.double(), truth, rtol=0, atol=1e-6)


@pytest.mark.filterwarnings("error::attnscope.recording.running.passes.IncompleteCaptureWarning")
def test_calls_with_the_same_text_have_the_same_name(pipe):
    with attnscope.capture(pipe, branches=["cond"]) as trace:
        pipe([text(1), text(1)])
    assert [(call.step, call.rows[0].branch) for call in trace.calls] == [
        (step, "cond") for step in (0, 0, 1, 1)
    ]

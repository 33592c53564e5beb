"""The tiny SDXL: SDXL's parts, the demo model's pictures."""

import numpy as np
import torch

import attnscope
from attnscope.testing import tiny_sdxl

PROMPT = "a red house on grass"


def picture(pipe):
    made = pipe(
        PROMPT,
        num_inference_steps=3,
        guidance_scale=3.0,
        height=128,
        width=128,
        generator=torch.Generator().manual_seed(1),
        output_type="np",
    )
    return made.images[0]


def test_it_draws_what_the_demo_model_draws():
    pipe = tiny_sdxl()
    with attnscope.capture(pipe, branch="cond") as trace:
        drawn = picture(pipe)
    demo = attnscope.load_pipeline("demo")
    demo.set_progress_bar_config(disable=True)
    np.testing.assert_allclose(drawn, picture(demo), atol=1e-3)  # sums of two halves
    assert pipe.unet.config.cross_attention_dim == 2 * demo.unet.config.cross_attention_dim
    assert [span.word for span in trace.words()] == PROMPT.split()


def test_it_reads_both_texts():
    pipe = tiny_sdxl()
    with attnscope.capture(pipe, kind="cross", branch="cond") as trace:
        pipe(
            PROMPT,
            prompt_2="a blue house on snow",
            num_inference_steps=1,
            height=128,
            width=128,
            output_type="latent",
        )
    assert {"red", "blue", "snow"} <= {span.word for span in trace.words()}

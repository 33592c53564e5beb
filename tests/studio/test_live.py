"""What there is to see of a picture while it is made: the last step's is the pipeline's own picture."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import attnscope
from attnscope.studio.live import Live, StopAsked
from attnscope.studio.messages import ReadPhoto
from attnscope.studio.worker import read
from transformer_cases import CASES

every = pytest.mark.parametrize("case", [case for case in CASES if case.frames == 1], ids=str)
pytestmark = pytest.mark.filterwarnings("ignore::attnscope.recording.running.passes.IncompleteCaptureWarning")


@every
def test_the_last_preview_is_the_picture(case, tmp_path):
    pipe = case.make(tmp_path)
    live = Live(1, pipe, 2, lambda message: None, lambda: False)
    shown = []

    def on_step(taken):
        shown.append(live._picture(taken.predicted))

    with attnscope.capture(pipe, on_step=on_step) as live.trace:
        case.run(pipe)
    final = live.trace.run.pictures[0]
    assert shown[-1].size == final.size
    np.testing.assert_allclose(np.asarray(shown[-1], int), np.asarray(final, int), rtol=0, atol=1)


def test_a_photo_is_no_longer_read_once_nobody_wants_it(tmp_path):
    pipe = attnscope.load_pipeline("demo")
    Image.new("RGB", (256, 256), "red").save(tmp_path / "photo.png")
    asked = iter([False] * 5)  # and then the pass is stopped between two blocks
    job = ReadPhoto(1, tmp_path / "photo.png", "a red house", tmp_path)
    with pytest.raises(StopAsked):
        read(pipe, job, lambda: next(asked, True))
    assert next(asked, None) is None
    assert not any(module._forward_pre_hooks for module in pipe.unet.modules())

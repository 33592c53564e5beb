from __future__ import annotations

from copy import deepcopy

import pytest
from diffusers import StableDiffusionPipeline


@pytest.fixture
def twin(pipe):
    """Another pipeline with the same U-Net, as a server has one for each thread."""
    of_its_own = {name: deepcopy(getattr(pipe, name)) for name in ("scheduler", "tokenizer")}
    another = StableDiffusionPipeline(**pipe.components | of_its_own)  # neither of them takes two threads
    another.set_progress_bar_config(disable=True)
    return another

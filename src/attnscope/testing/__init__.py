"""For tests of code that builds on attnscope: models and traces made in a moment, without weights or a download.

tiny_models.py  a random Stable Diffusion laid out as v1, 128x128 pixels, with a tokenizer of its own
tiny_sdxl.py    the demo model in the form of Stable Diffusion XL, which draws what it is asked for
made_traces.py  traces with known numbers, of any shape, made without a model
full_size.py    the U-Nets of Stable Diffusion v1, v2 and XL at full size with random weights
transformers/   random pipelines of transformers: Stable Diffusion 3, Flux and others

    from attnscope.testing import made_trace, tiny_pipeline

    pipe = tiny_pipeline(tmp_path)
    trace = made_trace(grids=((8, 12), (4, 6)), steps=3, images=2)
"""

from attnscope.testing.full_size import full_size_unet
from attnscope.testing.made_traces import made_trace
from attnscope.testing.tiny_models import tiny_pipeline, tiny_tokenizer, tiny_unet
from attnscope.testing.tiny_sdxl import tiny_sdxl
from attnscope.testing.transformers import tiny_transformer

__all__ = [
    "full_size_unet",
    "made_trace",
    "tiny_pipeline",
    "tiny_sdxl",
    "tiny_tokenizer",
    "tiny_transformer",
    "tiny_unet",
]

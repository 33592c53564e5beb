"""The embedded demo: a tiny Stable Diffusion, its picture-book world, and the program that makes it.

scenes         pictures with captions and exact masks; NumPy and Pillow only
train          `python -m attnscope.demo.train` makes the model
evaluate       `python -m attnscope.demo.evaluate` says how good its attention is
"""

from pathlib import Path

MODEL_FOLDER = Path(__file__).parent / "model"
"""The shipped model, a diffusers folder for plain `StableDiffusionPipeline.from_pretrained`."""

GUIDANCE_SCALE = 3.0
"""Guidance that suits the shipped model; diffusers' usual 7.5 oversaturates its pictures."""

DIFFSEG_THRESHOLD = 0.5
"""DiffSeg's merging threshold for the shipped model, in nats; docs/demo-model.md says how it was chosen."""

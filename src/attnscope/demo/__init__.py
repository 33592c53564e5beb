"""The embedded demo: a tiny Stable Diffusion, its picture-book world, and the program that makes it.

scenes         pictures with captions and exact masks; NumPy and Pillow only
train          `python -m attnscope.demo.train` makes the model
evaluate       `python -m attnscope.demo.evaluate` says how good its attention is
pointing       `python -m attnscope.demo.pointing` says which blocks, heads and steps point best
"""

from attnscope.atlas.known import DEMO_FOLDER as MODEL_FOLDER
from attnscope.atlas.known import DEMO_MERGE_THRESHOLD as DIFFSEG_THRESHOLD

__all__ = ["DIFFSEG_THRESHOLD", "GUIDANCE_SCALE", "MODEL_FOLDER"]

GUIDANCE_SCALE = 3.0
"""Guidance that suits the shipped model; diffusers' usual 7.5 oversaturates its pictures."""

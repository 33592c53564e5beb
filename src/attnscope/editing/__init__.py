"""Editing: other attention than the model computes, and what that does to the picture.

context.py           the context manager: edits on, edits off
edits.py             what can be asked: Ablate, Reweight, Region, Temperature
custom.py            an edit that a user writes: any function of P
sources.py           attention from elsewhere: Replace, Freeze
choices.py           which layers, heads, steps and rows an edit is for
site.py              one attention that is about to be edited, and where rows, words and parts are in it
acting.py            an edit of some rows and heads, as a change of tiles of P
regions.py           a mask or a box on a layer's grid
planning.py          which layers edits are for, checked before anything runs
prompt_to_prompt.py  edits and a blend, composed as the paper has it
inverted.py          a photo as its source
alignment.py         which tokens of one prompt stand for which of another
blending.py          where a target may differ from its source
"""

from attnscope.editing.context import UnusedEditWarning, edit
from attnscope.editing.custom import Custom
from attnscope.editing.edits import Ablate, Edit, Region, Reweight, Temperature
from attnscope.editing.sources import Freeze, Replace

__all__ = [
    "Ablate",
    "Custom",
    "Edit",
    "Freeze",
    "Region",
    "Replace",
    "Reweight",
    "Temperature",
    "UnusedEditWarning",
    "edit",
]

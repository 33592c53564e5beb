"""ComfyUI nodes of attnscope: record the attention of a KSampler run, and ask it where words and segments are.

capture_node.py   Capture attention: a MODEL whose run is recorded, and its TRACE
picture_nodes.py  Heat map of a word, Where a place looks, Segments
save_node.py      Save trace
handle.py         what a TRACE is: the recorder, asked for the run that made a picture
recorder.py       what ComfyUI calls while it samples: the run, its predictions, the model, its attention
session.py        one run: who is in its batches, and which of its calls are kept
checks.py         what of other nodes can't be recorded
seen.py           Q and K of one call of the model
stepping.py       which step a prediction belongs to
sites.py          the attentions of a U-Net, with their blocks
choices.py        which of them are kept
words.py          a prompt's tokens, as ComfyUI's CLIP makes them
conditioning.py   the texts of a run, checked against its conditionings
traces.py         an attnscope trace from all of these
images.py         ComfyUI's IMAGE and MASK, and Pillow's pictures
"""

from .capture_node import CaptureAttention
from .picture_nodes import HeatMapOfWord, Segments, WhereAPlaceLooks
from .save_node import SaveTrace

NODE_CLASS_MAPPINGS = {
    "AttnscopeCapture": CaptureAttention,
    "AttnscopeHeatMap": HeatMapOfWord,
    "AttnscopePlace": WhereAPlaceLooks,
    "AttnscopeSegments": Segments,
    "AttnscopeSaveTrace": SaveTrace,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "AttnscopeCapture": "Capture attention",
    "AttnscopeHeatMap": "Heat map of a word",
    "AttnscopePlace": "Where a place looks",
    "AttnscopeSegments": "Segments",
    "AttnscopeSaveTrace": "Save trace",
}

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]

"""From a photo or a trace to labels, names and files: DiffSeg, and masks of clicks.

segment.py    the entries: a photo or a trace to its segments
photo.py      the evidence of a photo: one pass over it, and one for words
evidence.py   the evidence of a trace: its attention, aggregated
result.py     Evidence and Segmentation: what segments are made of, and what they are
label_map.py  from merged maps to the segment of every pixel
words.py      the words that segments can be named by
naming.py     which word names a segment, and how well it fits
recipe.py     thresholds and the other choices, and where they are from
files.py      segments as files
clicking.py   the entry for clicks: a thing that is clicked on to its mask
click_evidence.py  the evidence of clicks: chosen layers of a photo or a trace, as a chain
clicks.py     Clicks and ClickMask: a picture to click on, and the mask
click_overlay.py  clicks as numbers and as drawn
"""

"""Segments: from a photo or a trace to labels, names, masks of clicks, and files.

segment.py    the entries: a photo or a trace to its segments
photo.py      the evidence of a photo: one pass over it, and one for words
features.py   what one module gave, by place
evidence.py   the evidence of a trace: its attention, aggregated
basis.py      what methods look at: a picture's attention
result.py     Evidence and Segmentation: what segments are made of, and what they are
label_map.py  from merged maps to the segment of every pixel
words.py      the words that segments can be named by
spreading.py  words as segments: their maps spread by self-attention, and the background
edges.py      where things end, by attention
picture_edges.py  maps of segments drawn to the picture's own edges
naming.py     which word names a segment, and how well it fits
recipe.py     what all methods share: what they look at, what they find
methods/      DiffSeg and the others, a file each
files.py      segments as files
folder_job.py segments of many photos as a job: what is written, and when it is done
clicking.py   the entry for clicks: a thing that is clicked on to its mask
click_evidence.py  the evidence of clicks: chosen layers of a photo or a trace, as a chain
clicks.py     Clicks and ClickMask: a picture to click on, and the mask
click_overlay.py  clicks as numbers and as drawn
"""

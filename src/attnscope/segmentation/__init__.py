"""DiffSeg from a photo or a trace to labels, names and files.

segment.py    the entries: a photo or a trace to its segments
photo.py      the evidence of a photo: one pass over it, and one for words
evidence.py   the evidence of a trace: its attention, aggregated
result.py     Evidence and Segmentation: what segments are made of, and what they are
label_map.py  from merged maps to the segment of every pixel
words.py      the words that segments can be named by
naming.py     which word names a segment, and how well it fits
recipe.py     thresholds and the other choices, and where they are from
files.py      segments as files
folder_job.py segments of many photos as a job: what is written, and when it is done
"""

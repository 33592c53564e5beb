"""DiffSeg from a photo or a trace to labels, names and files.

segment.py   the entries: a photo or a trace to its segments
photo.py     one U-Net pass over a photo
evidence.py  the attention of a trace, aggregated
words.py     the words that segments can be named by
recipe.py    thresholds and the other choices, and where they are from
result.py    from aggregated attention to labels, names and files
"""

"""DiffSeg from a photo or a trace to labels, names and files.

photo.py    one U-Net pass over a photo
segment.py  from photo or trace to aggregated attention
result.py   from aggregated attention to labels, names and files
"""

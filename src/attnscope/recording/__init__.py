"""Recording: watch a pipeline or a U-Net run, and keep what its attention computed.

capture.py         the context manager: hooks on, one run, hooks off
plan.py            what is asked, checked against the model before anything runs
session.py         one run: calls become steps, attention becomes records
tap.py             one attention module: the Q, K, V, mask and scale that it really used
modules.py         which attention modules a U-Net has
pipeline_watch.py  one pipeline's call: prompts, embeddings, scheduler, pictures
rows.py            which row of the batch is which branch of which image
keeping.py         what is kept of a layer, as which type, on which device
reductions.py      maps that are kept of the whole run
estimate.py        how many bytes a capture is going to take
"""

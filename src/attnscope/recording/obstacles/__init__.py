"""Obstacles: what keeps attention from being seen, each with its true cause and a remedy that works.

obstacle.py  a cause and a remedy, and names for what they speak of
no_model.py  what was given instead of a model that can be captured
compiled.py  models whose modules do not run as Python: compiled, traced, exported, graphed
merged.py    tokens merged before the attention, whose queries are no places
unseen.py    an attention layer that ran and showed neither Q nor K
skipped.py   layers that did not run: caches, replaced forwards
calls.py     one call of a model whose tensors are none: vmap, grad, CUDA graphs
"""

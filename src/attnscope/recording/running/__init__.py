"""While runs go on: which of them are a capture's own, and what becomes of their calls.

owners.py         one capture at a time for each model
following.py      which runs are a capture's own, where threads and tasks share a model
attaching.py      which models are watched, and what is put on them for that
watched_model.py  a model under capture, and the pipelines that call it
passes.py         which pass a call of the model belongs to
session.py        one pass: calls and their attention become records
under_way.py      a call that goes on
calls.py          the calls of a pass: step and rows of each
reducing.py       which calls go into reduced maps
reductions.py     maps that are kept of the whole run
outputs.py        what modules gave, beside Q and K
open_words.py     how the layers of a pass make keys of the text
previews.py       a small picture of each step
predicted.py      the latent that a model predicts in a step
lost.py           what can't be recorded any more once a run is under way
gaps.py           what a trace lacks of a run
"""

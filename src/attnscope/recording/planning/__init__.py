"""What is asked of a capture, checked against the model before anything runs.

plan.py        what is asked, and what it comes to for this model
modules.py     which attention modules a model has
keeping.py     what is kept of a layer, as which type, on which device
estimate.py    how many bytes a capture is going to take
outputs.py     which modules' outputs
open_words.py  whether keys of other texts can be known
previews.py    how large previews are, and of which runs
"""

"""The doctor: whether attention can be captured here, and what stands in the way.

report.py     `attnscope.doctor` and what it gives back
machine.py    versions and devices
hub.py        whether models can be fetched, and where they are kept
model.py      what each layer of a model runs, tried on one tiny step
tiny_step.py  the smallest call of a model
"""

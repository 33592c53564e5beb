"""Recording: watch a pipeline or a U-Net run, and keep what its attention computed.

capture.py  the context manager: hooks on, hooks off
tapping/    what an attention module really computes, seen while it runs
obstacles/  what keeps attention from being seen, and what to do about it
planning/   what is asked, checked against the model before anything runs
observing/  from the attentions of a module to records that are right
calling/    who calls the model, with what, in which step
running/    while runs go on: whose they are, and what becomes of their calls
doctor/     whether attention can be captured here

A room imports from those above it, and capture.py from all but the doctor's.
"""

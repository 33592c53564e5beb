"""Recording: watch a pipeline or its model run, and keep what its attention computed.

capture.py         the context manager: hooks on, hooks off
plan.py            what is asked, checked against the model before anything runs
owners.py          one capture at a time for each model
following.py       which runs are a capture's own, where threads and tasks share a model
passes.py          which pass a call of the model belongs to
arguments.py       what a model is called with, and what that call attends over
prompts.py         what text encoders read, and the names of its tokens
written.py         a prompt within what a pipeline writes around it
text_parts.py      the texts of a transformer's call, encoder after encoder
told.py            texts of embeddings from elsewhere, as the user tells them
session.py         one pass: calls and their attention become records
calls.py           the calls of a pass: step and rows of each
schedule.py        which denoising step a call belongs to
rows.py            which row of the batch is which branch of which image
known_rows.py      how diffusers' pipelines lay out their batch
held_rows.py       rows by the variable that holds their conditioning
pipeline_call.py   what is known of one call of a pipeline
pipeline_watch.py  one pipeline's calls: prompts, embeddings, scheduler, pictures
twin.py            a pipeline beside another, for a call that leaves no trace on the first
provenance.py      the model's name and revision, versions of libraries
tap.py             one attention module: every attention that it really computes
attention.py       one of these, as the tap sees it
usage.py           what becomes of its result
watching.py        hooks and watched methods that copies leave behind
observation.py       from those to Q, K, V, mask and scale
assembling.py      one record of a module's attention, also where it comes in slices
adapters.py        which attention reads an IP-Adapter's pictures
sample_check.py    whether a record gives what the layer computed
order_check.py     whether a processor keeps rows, heads and places in order
row_lengths.py     texts of different lengths get the same places
describing.py      on which grid, over which keys
key_sources.py     whether these keys are the layer's own
callers.py         which pipeline calls a model, and in which of its calls
modules.py         which attention modules a model has
keeping.py         what is kept of a layer, as which type, on which device
lost.py            what can't be recorded any more once a run is under way
reductions.py      maps that are kept of the whole run
reducing.py        which calls go into them
gaps.py            what a trace lacks of a run
picture_size.py    how large pictures are
obstacles/         what keeps attention from being seen, and what to do about it
doctor/            whether attention can be captured here
estimate.py        how many bytes a capture is going to take
"""

"""Who calls a model, with what, in which step: what is known of a pipeline and of its calls.

callers.py         which pipeline calls a model, and in which of its calls
pipeline_call.py   what is known of one call of a pipeline
arguments.py       what a model is called with, by the names of its family
named_arguments.py names of what any method is called with
pipeline_watch.py  one pipeline's calls: prompts, embeddings, scheduler, pictures
prompts.py         what text encoders read, and the names of its tokens
written.py         a prompt within what a pipeline writes around it
text_parts.py      the texts of a transformer's call, encoder after encoder
told.py            what a user says that the text encoders read
known_rows.py      how diffusers' pipelines lay out their batch
held_rows.py       rows by the variable that holds their conditioning
rows.py            which row of the batch is which branch of which image
twin.py            a pipeline beside another, for a call that leaves no trace on the first
schedule.py        which denoising step a call belongs to
provenance.py      the model's name and revision, versions of libraries
picture_size.py    how large pictures are
"""

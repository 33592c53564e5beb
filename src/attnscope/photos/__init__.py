"""A photo read by a model: one noised pass, or DDIM inversion, with or without null-text optimisation.

reading.py         the entry: a photo and a prompt to a trace
inversion.py       the noise that a photo comes from, and the photo made again
null_text.py       embeddings in place of no text, with which guidance leads back to the photo
one_pass.py        one pass of the model over a photo
photo_pipeline.py  calls a U-Net with a photo's latent, where a capture can tell with what
photo_step.py      a transformer sees the photo in a step of its pipeline
conditioning.py    what a U-Net is given beside the photo
latents.py         the photo as a latent
seen.py            the photo as people see it, and as a model does
checking.py        which pipelines can take a photo
counting.py        how far long work is
"""

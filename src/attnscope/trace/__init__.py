"""What a capture gives back, and how it is asked.

trace.py      Trace: what there is, and probabilities by block, kind, step, branch, image, head, query, token
selection.py  what a user asks of an axis, as numbers on it
query.py      the probability that follows from a record, and sums over several
tokens.py     a prompt's tokens and words
files.py      a trace from disk
html.py       a trace in a notebook
"""

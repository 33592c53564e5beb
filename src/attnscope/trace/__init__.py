"""What a capture gives back, and how it is asked.

trace.py      Trace: its passes, probabilities by layer, step, branch, image, head, query and token, saving
contents.py   what one pass holds: layers, steps, rows, prompts, words, pictures
asking.py     what a user asks, as a Query
query.py      Query, and the one loop that answers it
step_rows.py  which call and row of a step answers for a branch
selection.py  what a user asks of one axis, as numbers on it
named.py      an answer that knows its axes; xarray
layers.py     layers by number, by block and kind, by module path
tokens.py     a prompt's tokens and words
facts.py      what a trace holds, as plain values
files.py      a trace from disk
html.py       a trace in a notebook
"""

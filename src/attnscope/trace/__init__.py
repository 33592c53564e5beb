"""What a capture gives back, and how it is asked.

trace.py          Trace: its passes, probabilities by layer, step, branch, image, head, query and token, saving
contents.py       what one pass holds: layers, steps, rows, prompts, words, pictures
pictures.py       of these the pictures, and the previews of steps
asking.py         what a user asks, as a Query
query.py          Query, and the one loop that answers it
step_rows.py      which call and row of a step answers for a branch
selection.py      what a user asks of one axis, as numbers on it
key_parts.py      which numbers a choice means, where keys come from several sources
outputs.py        the outputs of modules
named.py          an answer that knows its axes; xarray
layers.py         layers by number, by block and kind, by module path
texts.py          which text a branch reads, and why a word of it may be unknown
words.py          words by their text, and the tokens that carry them
reading.py        a prompt read as words
characters.py     characters as readers see them, and which read alike
tokens.py         the tokens that a tokenizer makes of a prompt
facts.py          what a trace holds, as plain values
files.py          a trace from disk
html.py           a trace in a notebook
picture_shape.py  whether places can be drawn on the picture
rereading/        a trace read with another text
"""

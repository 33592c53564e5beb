"""A trace read with another text: which places would look at words that are not in its prompt.

projecting.py  keys of a text's states, as a cross-attention makes them
encoding.py    a text's tokens, and the states that the run's own text encoders make of them
fitting.py     which of the encoders' layers the run read
reread.py      the trace as if its cross-attention had read the text
"""

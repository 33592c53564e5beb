"""The attention probability, P = softmax(Q K^T x scale + mask), and sums over it, straight from Q and K.

reference.py       a dozen lines that materialise P: the oracle
inputs.py          what Q, K and a mask must be, shapes and numbers
verdicts.py        what is judged of numbers: at once on a CPU, with one read from a GPU
contraction.py     what to compute: which axes of P are summed, with which weights
tiled.py           the same numbers in row tiles: never more than the result and one tile a thread
reach.py           how far scores can reach, before any is computed
tile_loops.py      the work on one tile, compiled by TorchScript
threads.py         threads that are kept for the tiles, each with torch's own threading off
triton_sums.py     the same numbers on a GPU: never more than the result
triton_kernels.py  the Triton kernels that compute them
triton_support.py  whether these kernels can run here, or why not
choose.py          the entry points: they choose the path, and say which
rows.py            the head mean of one batch row of a record
one_row.py         one row of P with every number on the way to it
places.py          attention of places to places, handed in from anywhere, checked
changed.py         attention whose P is changed before it is multiplied with V

    from attnscope import probability

    probability.reduce(query, key, scale=scale, over=("head",))     # head mean, not materialised
    probability.entropy(query, key, scale=scale)                    # nats of every head and query
    probability.path_for(query, key, over=("head",))                # 'tiled' and why
"""

from attnscope.probability.choose import Path, entropy, path_for, reduce, reduce_given
from attnscope.probability.one_row import OneRow, one_row
from attnscope.probability.reference import attention_probability

__all__ = [
    "OneRow",
    "Path",
    "attention_probability",
    "entropy",
    "one_row",
    "path_for",
    "reduce",
    "reduce_given",
]

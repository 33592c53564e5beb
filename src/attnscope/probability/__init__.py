"""The attention probability, P = softmax(Q K^T x scale + mask), and sums over it.

reference.py   a dozen lines that materialise P: the oracle
tiled.py       the same numbers in row tiles: never more than the result and one tile a thread
choose.py      the one entry: picks the path and says which

    from attnscope import probability

    probability.reduce(query, key, scale=scale, over=("head",))     # head mean, not materialised
    probability.path_for(query, key, over=("head",))                # 'tiled' and why
"""

from attnscope.probability.choose import Path, path_for, reduce
from attnscope.probability.reference import attention_probability

__all__ = ["Path", "attention_probability", "path_for", "reduce"]

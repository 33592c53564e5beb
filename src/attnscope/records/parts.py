"""Parts of a layer's keys and queries: where each run of them comes from."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple


class KeyPart(NamedTuple):
    """A run of a layer's keys that come from one source.

    Attributes:
        name: 'own' (the layer's own places), 'reference' (another picture's places), 'context' (what the model is
            conditioned on, such as the text), 'objects' (GLIGEN's), or 'adapter 1, picture 2' (IP-Adapter's).
        keys: How many keys.
    """

    name: str
    keys: int


class QueryPart(NamedTuple):
    """A run of a layer's queries that come from one source.

    Attributes:
        name: 'own' (the places of the layer's grid), or as in `KeyPart`.
        queries: How many queries.
    """

    name: str
    queries: int


class View(NamedTuple):
    """Which part of a softmax a layer is, where it is a part only. P is cut after the softmax over all keys.

    Attributes:
        relation: What attends to what, such as 'image->text'.
        of: Kind of the layer whose softmax it is.
        first_query: Number of its first query among all of them.
        first_key: Number of its first key among all of them.
        frame_queries: How much further on the queries of each next frame of a video begin; 0 where they are all in it.
        frame_keys: The same for its keys.
    """

    relation: str
    of: str
    first_query: int
    first_key: int
    frame_queries: int = 0
    frame_keys: int = 0

    def at(self, frame: int) -> tuple[int, int]:
        """Number of the first query and of the first key of a frame.

        Args:
            frame: Its number in the video, from 0.
        """
        return self.first_query + frame * self.frame_queries, self.first_key + frame * self.frame_keys


def span_of(parts: Sequence[KeyPart | QueryPart], wanted: str) -> range:
    """Numbers of one part, or of several that lie side by side: 'context' is 'context/clip' and 'context/t5'.

    Args:
        parts: All parts, in order.
        wanted: Name of the part.

    Raises:
        KeyError: There is no such part, or its pieces do not lie side by side.
    """
    start, found = 0, list[range]()
    for name, count in parts:
        if name == wanted or name.startswith(f"{wanted}/"):
            found.append(range(start, start + count))
        start += count
    if not found or any(one.stop != other.start for one, other in pairwise(found)):
        raise KeyError(wanted)
    return range(found[0].start, found[-1].stop)

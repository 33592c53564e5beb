"""Where a place or a region of the picture looks, and which words it reads. The viewer shows these numbers.

view.py         what is looked at: View (which attention) and Box (which part of the picture)
maps.py         maps of one view: by block, by head, of a place, of tokens
every_place.py  the maps of all places at once
common_scale.py the largest value of all words, in a view, in its blocks and heads
computation.py  the whole computation of one place: q, K, scores, softmax, P, V
statistics.py   a map in numbers
"""

from attnscope.places.common_scale import block_words_maxima, head_words_maxima, words_maximum
from attnscope.places.computation import Computation, KeySection, computation, key_sections
from attnscope.places.every_place import LONGEST, EveryPlace, coarse, every_place, every_places_words
from attnscope.places.maps import (
    block_maps,
    box_map,
    head_maps,
    token_shares,
    word_block_maps,
    word_head_maps,
    word_map,
)
from attnscope.places.statistics import Statistics
from attnscope.places.view import Box, View, check_choice

__all__ = [
    "LONGEST",
    "Box",
    "Computation",
    "EveryPlace",
    "KeySection",
    "Statistics",
    "View",
    "block_maps",
    "block_words_maxima",
    "box_map",
    "check_choice",
    "coarse",
    "computation",
    "every_place",
    "every_places_words",
    "head_maps",
    "head_words_maxima",
    "key_sections",
    "token_shares",
    "word_block_maps",
    "word_head_maps",
    "word_map",
    "words_maximum",
]

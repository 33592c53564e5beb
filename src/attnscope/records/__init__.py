"""Nouns that all other parts share: small frozen records, without arithmetic.

layers.py       Grid, LayerId, Layer: which attention, on which grid, with which shapes
parts.py        KeyPart, QueryPart, View: where keys and queries come from
relations.py    'image->text': a part of a layer's attention as a layer
run.py          Row, Call, Step, Token, TokenSpan, Run: what happened around the attention
qkv.py          Record: Q, K, V, mask and scale of one layer in one call
projections.py  KeyProjection: how a layer makes keys of a text
reduced.py      Reduced, ReducedMaps: maps that are kept of a whole run instead
"""

from attnscope.records.layers import (
    KINDS,
    PLACE_KINDS,
    TEXT_KINDS,
    Grid,
    Kind,
    Layer,
    LayerId,
    Stage,
    is_kind,
    kind_rank,
)
from attnscope.records.parts import KeyPart, QueryPart, View
from attnscope.records.run import Call, Row, Run, Step, Token, TokenSpan

__all__ = [
    "KINDS",
    "PLACE_KINDS",
    "TEXT_KINDS",
    "Call",
    "Grid",
    "KeyPart",
    "Kind",
    "Layer",
    "LayerId",
    "QueryPart",
    "Row",
    "Run",
    "Stage",
    "Step",
    "Token",
    "TokenSpan",
    "View",
    "is_kind",
    "kind_rank",
]

"""A transformer drawn as the column that it is: groups of equal blocks, and where image and text come in.

Beside each group is a picture of its softmax: a row of it is one query, a column one key, a colour one relation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, groupby

from attnscope.atlas.diagram.marks import (
    AMONG_TEXT,
    CROSS,
    EDGE,
    EMPTY,
    INK,
    OTHER,
    SCALE_TINTS,
    SELF,
    TITLE,
    TO_IMAGE,
    box,
    fitted,
    line,
    page,
    spans,
    text,
    times,
)
from attnscope.records import Layer

_WIDTH, _MARGIN, _CARD, _GAP = 780, 36, 240, 62
_TOP, _PILL = 150, 84
_MATRIX = 132
_LANES = {"text": 226, "image": 554}  # px from the left: where the streams run
_LEAST = 0.14  # share of a square's side that the smallest part gets
_ENTRY = 38
_COLOURS = {"image->image": SELF, "image->text": CROSS, "text->image": TO_IMAGE, "text->text": AMONG_TEXT}
_ENTRIES = {
    "image->image": "image to image: self-attention, or its part of a joint one",
    "image->text": "image to text: cross-attention, or its part of a joint one",
    "text->image": "text to image",
    "text->text": "text to text",
}
_WORDS = {"own": "image", "context": "text"}
Block = tuple[Layer, ...]


def column(heading: str, family: str, size: tuple[int, int], attention: Sequence[Layer]) -> str:
    """A transformer as an SVG drawing.

    Args:
        heading: What it is called.
        family: What its family is called.
        size: Picture (height, width) in pixels.
        attention: Its attention layers.
    """
    groups = _groups(attention)
    tops = [_TOP + _PILL + _GAP + i * (_CARD + _GAP) for i in range(len(groups))]
    end = tops[-1] + _CARD
    legend = end + 132
    entries = list(_legend(legend, attention))
    marks = [
        text("title", _MARGIN, 54, fitted(f"Attention in {heading}", _WIDTH - 2 * _MARGIN, TITLE)),
        text(
            "subtitle",
            _MARGIN,
            88,
            f"{family}, {_counted(len({layer.block for layer in attention}), 'block')}",
        ),
        text(
            "subtitle", _MARGIN, 116, f"{_counted(len(attention), 'attention layer')}, picture {times(*size)}"
        ),
        *_sources(attention),
        *_streams(groups, tops),
        *(mark for group, top in zip(groups, tops, strict=True) for mark in _card(group, top)),
        line("flow", _LANES["image"], end, _LANES["image"], end + 44),
        text("end", _LANES["image"], end + 70, "prediction"),
        *entries,
    ]
    return page(heading, _WIDTH, legend + _ENTRY * len(entries), marks)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _groups(attention: Sequence[Layer]) -> list[list[Block]]:
    """Neighbouring blocks of one list with the same attentions."""
    blocks = [tuple(block) for _, block in groupby(attention, key=lambda layer: layer.block)]
    return [list(group) for _, group in groupby(blocks, key=_alike)]


def _alike(block: Block) -> list[tuple[object, ...]]:
    return [(layer.stage, layer.kind, layer.query, layer.parts, layer.keys, _name(layer)) for layer in block]


def _name(layer: Layer) -> str:
    return layer.path.rpartition(".")[2]


def _sources(attention: Sequence[Layer]) -> Iterator[str]:
    """Where text and image come in, with their numbers of tokens."""
    first = attention[0]
    yield box(_LANES["image"] - 150, _TOP, 300, _PILL, SCALE_TINTS[0], edge=INK, round_px=18)
    yield text("source", _LANES["image"], _TOP + 35, "image" if first.frames == 1 else "frames")
    grid = times(*first.grid) if first.frames == 1 else f"{first.frames} × {times(*first.grid)}"
    yield text("facts", _LANES["image"], _TOP + 66, f"{grid} = {first.frames * first.grid.places}")
    if texts := _texts(attention):
        yield box(_LANES["text"] - 150, _TOP, 300, _PILL, SCALE_TINTS[3], edge=INK, round_px=18)
        yield text("source", _LANES["text"], _TOP + 35, "text")
        yield text("facts", _LANES["text"], _TOP + 66, texts)


def _texts(attention: Sequence[Layer]) -> str:
    """'333 = clip 77 + t5 256', of the first layer that reads the text."""
    layer = next((layer for layer in attention if layer.reads_text), None)
    if layer is None:
        return ""
    parts = [part for part in layer.parts if part.name.startswith("context")]
    if len(parts) < 2:
        return f"{parts[0].keys if parts else layer.keys} tokens"
    whole = sum(part.keys for part in parts)
    return f"{whole} = " + " + ".join(f"{part.name.partition('/')[2]} {part.keys}" for part in parts)


def _streams(groups: Sequence[Sequence[Block]], tops: Sequence[float]) -> Iterator[str]:
    """The image runs through all groups; the text with it where it is of the sequence, else beside them to each."""
    before: float = _TOP + _PILL
    comes_along = True
    for group, top in zip(groups, tops, strict=True):
        is_in_sequence = any(_is_in_sequence(layer) for layer in group[0])
        yield line("flow", _LANES["image"], before, _LANES["image"], top - 4)
        if top == tops[0] or (is_in_sequence and comes_along):
            reads_text = any(layer.reads_text for layer in group[0])
            yield line("flow", _LANES["text"], before, _LANES["text"], top - 4) if reads_text else ""
        elif any(layer.reads_text for layer in group[0]):
            yield _from_beside(top)
        before, comes_along = top + _CARD - 12, is_in_sequence  # where its card ends, below those behind it


def _is_in_sequence(layer: Layer) -> bool:
    return any(part.name.startswith("context") for part in layer.query_parts)


def _from_beside(top: float) -> str:
    """The text's way past the groups above, along the left edge."""
    start, y = _TOP + _PILL, top + _CARD / 2
    return (
        f'<path class="skip" d="M{_LANES["text"]:g} {start:g} V{start + 24:g} H14 V{y:g} H{_MARGIN - 4:g}"/>'
    )


def _card(group: Sequence[Block], top: float) -> Iterator[str]:
    """A group of equal blocks: its numbers, its facts, and a picture of each softmax."""
    block, first = group[0], group[0][0]
    for behind in (12, 6) if len(group) > 1 else ():
        yield box(
            _MARGIN + behind, top + behind, _WIDTH - 2 * _MARGIN, _CARD - 12, EMPTY, edge=EDGE, round_px=14
        )
    yield box(_MARGIN, top, _WIDTH - 2 * _MARGIN, _CARD - 12, "#ffffff", edge=INK, round_px=14)
    left = _MARGIN + 24
    stage = "" if first.stage == "blocks" else f"{first.stage} "
    heads = dict.fromkeys(f"{layer.heads} heads of {layer.head_dim}" for layer in block)
    yield text("range", left, top + 54, spans([one[0].block for one in group]))
    yield text("path", left, top + 80, first.path.rsplit(".", 2)[0])
    yield text("label", left, top + 114, _counted(len(group), f"{stage}block"))
    yield text("label", left, top + 144, ", ".join(heads))
    for i, layer in enumerate(block):
        facts = f"{_name(layer)}: {layer.kind}, {times(layer.queries, layer.keys)}"
        yield text("label", left, top + 174 + 30 * i, facts)
    for i, layer in enumerate(reversed(block), start=1):
        x = _WIDTH - _MARGIN - 4 - i * (_MATRIX + 20)
        yield from _softmax(layer, x, top + 30)
        yield text("caption", x + _MATRIX / 2, top + 30 + _MATRIX + 28, _name(layer))


def _softmax(layer: Layer, left: float, top: float) -> Iterator[str]:
    """A row of it is a query, a column a key."""
    longest = max(layer.queries, layer.keys)
    height, width = (_MATRIX * max(count / longest, 2 * _LEAST) for count in (layer.queries, layer.keys))
    x0, y0 = left + (_MATRIX - width) / 2, top + (_MATRIX - height) / 2
    for query, y, rows in _sides(_queries(layer), height):
        for key, x, columns in _sides(_keys(layer), width):
            colour = _COLOURS.get(f"{query}->{key}", OTHER)
            yield box(x0 + x, y0 + y, columns, rows, colour, edge="#ffffff", round_px=3)


def _queries(layer: Layer) -> list[tuple[str, int]]:
    return _in_words(layer.query_parts or [("own", layer.queries)])


def _keys(layer: Layer) -> list[tuple[str, int]]:
    return _in_words(layer.parts or [(layer.usual_part, layer.keys)])


def _in_words(parts: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    names = ((name.partition("/")[0], count) for name, count in parts)
    return [(_WORDS.get(name, name), count) for name, count in names]


def _sides(parts: Sequence[tuple[str, int]], side: float) -> Iterator[tuple[str, float, float]]:
    """Each part with its place and its length along a side; small ones are shown larger than they are."""
    whole = sum(count for _, count in parts)
    shares = [max(count / whole, _LEAST) for _, count in parts]
    lengths = [side * share / sum(shares) for share in shares]
    starts = (0.0, *accumulate(lengths))
    for (word, _), start, length in zip(parts, starts, lengths, strict=False):
        yield word, start, length


def _legend(top: float, attention: Sequence[Layer]) -> Iterator[str]:
    there = dict.fromkeys(
        (query, key) for layer in attention for query, _ in _queries(layer) for key, _ in _keys(layer)
    )
    entries = [(_COLOURS[name], words) for name, words in _ENTRIES.items() if (*name.split("->"),) in there]
    others = {
        name: count for layer in attention for name, count in _keys(layer) if name not in _WORDS.values()
    }
    entries += [(OTHER, f"from or to {name}, {count} tokens") for name, count in others.items()]
    for i, (colour, words) in enumerate(entries):
        y = top + i * _ENTRY
        yield box(_MARGIN, y - 18, 24, 24, colour, round_px=5) + text("label", _MARGIN + 40, y, words)
    yield text("subtitle", _MARGIN, top + len(entries) * _ENTRY, "A row of each is a query, a column a key.")

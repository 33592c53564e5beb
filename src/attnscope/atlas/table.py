"""The table of a model's attention layers, with the shapes of their Q, K, V and P."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from attnscope.atlas.families import UNET, Setting
from attnscope.atlas.plan import Section, plan_unet
from attnscope.atlas.source import model_facts
from attnscope.errors import ParameterError
from attnscope.records import Grid, Kind, Layer


@dataclass(frozen=True)
class Sources:
    """What a layer computes its queries, keys and values from.

    Attributes:
        query: Where Q comes from.
        key: Where K comes from.
        value: Where V comes from.
    """

    query: str
    key: str
    value: str


_WORDS = {"own": "latent features", "context": "text embedding", "reference": "another picture's features"}


def sources(kind: Kind) -> Sources:
    """Where Q, K and V come from: self-attention reads the picture, cross-attention the text, a joint one both.

    Args:
        kind: 'self', 'cross', 'joint', or a second one in a block.

    >>> sources("cross")
    Sources(query='latent features', key='text embedding', value='text embedding')
    """
    own, text = _WORDS["own"], _WORDS["context"]
    both = f"{own}, {text}"
    query, key = {"self": (own, own), "cross": (own, text), "joint": (both, both)}[kind.removesuffix("2")]
    return Sources(query, key, key)


def sources_of(layer: Layer) -> Sources:
    """Where one layer's Q, K and V come from, in the order of its sequence.

    Args:
        layer: The layer.
    """
    query = _words(part.name for part in layer.query_parts) or _WORDS["own"]
    key = _words(part.name for part in layer.parts) or _WORDS[layer.usual_part]
    return Sources(query, key, key)


def _words(parts: Iterable[str]) -> str:
    names = (part.partition("/")[0] for part in parts)
    return ", ".join(dict.fromkeys(_WORDS.get(name, name) for name in names))


def layers(
    model: Any,
    *,
    size: tuple[int, int] | None = None,
    batch: int = 1,
    guidance: bool | None = None,
    tokens: int | None = None,
    frames: int | None = None,
) -> tuple[Layer, ...]:
    """All attention layers of a model in execution order, with the shapes of one call of it.

    Args:
        model: A name such as 'sd1', 'sdxl', 'sd3', 'flux' or 'demo'; a hub id that is known or in the local cache; a
            pipeline; a model; a folder, a config.json or its contents.
        size: Picture (height, width) in pixels. Default: the model's native size.
        batch: Pictures made at once.
        guidance: Classifier-free guidance, which doubles the rows of the batch, or the calls of models that are called
            for each branch by itself. Default: as the model's pipeline does.
        tokens: Text tokens per prompt, of all text encoders together. Default: the model's own number, 77 for CLIP.
        frames: Of a video transformer: frames of the latent. Default: as its pipeline makes.

    Returns:
        One `Layer` for each attention, block 1 first.

    Raises:
        ModelError: The model's attention is not understood.
        ParameterError: The model can't make pictures of this size, or batch, tokens or frames is less than 1.

    Cost: arithmetic only. Neither weights nor torch are loaded.

    >>> first = layers("sd1")[0]
    >>> first.block, first.kind, str(first.grid), first.query, first.probability
    (1, 'self', '64x64', (16, 4096, 40), (16, 4096, 4096))
    >>> last = layers("flux")[-1]
    >>> last.block, last.kind, last.query_parts, last.query
    (57, 'joint', (QueryPart(name='context', queries=512), QueryPart(name='own', queries=4096)), (24, 4608, 128))
    """
    facts = model_facts(model)
    _at_least_one("batch", batch)
    tokens = facts.tokens if tokens is None else _at_least_one("tokens", tokens)
    frames = None if frames is None else _at_least_one("frames", frames)
    if frames is not None and facts.family is UNET:
        raise ParameterError(
            f"frames={frames}: each frame of a U-Net's video is a row of its batch; give batch="
        )
    setting = Setting(facts.config, facts.latent(size), tokens, facts.pipeline, frames)
    rows, *_ = facts.family.calls(facts.pipeline, guidance)
    return tuple(replace(layer, batch=batch, branches=rows) for layer in facts.family.planned(setting))


def calls_a_step(model: Any, *, guidance: bool | None = None) -> int:
    """How often a pipeline calls its model in a step: some call it once for each guidance branch.

    Args:
        model: As for `layers`.
        guidance: As for `layers`.

    Raises:
        ModelError: The model is not known.
    """
    facts = model_facts(model)
    return len(facts.family.calls(facts.pipeline, guidance))


def sections(model: Any, *, size: tuple[int, int] | None = None) -> tuple[Section, ...]:
    """The U-Net's down, mid and up blocks, with their residual units and numbered attention blocks.

    Args:
        model: As for `layers`.
        size: Picture (height, width) in pixels. Default: the model's native size.

    Raises:
        ModelError: The model's attention is not understood.
        ParameterError: The model can't make pictures of this size.
    """
    facts = model_facts(model)
    return plan_unet(facts.config, facts.latent(size))


def blocks_by_grid(layers: Iterable[Layer]) -> dict[Grid, tuple[int, ...]]:
    """The blocks that work on each grid, finest grid first.

    Args:
        layers: Layers as `layers()` or `trace.layers` gives them.

    Returns:
        Block numbers for each grid.

    >>> {str(grid): blocks for grid, blocks in blocks_by_grid(layers("sd1")).items()}
    {'64x64': (1, 2, 14, 15, 16), '32x32': (3, 4, 11, 12, 13), '16x16': (5, 6, 8, 9, 10), '8x8': (7,)}
    """
    blocks: dict[Grid, dict[int, None]] = {}
    for layer in layers:
        blocks.setdefault(layer.grid, {})[layer.block] = None
    return {grid: tuple(blocks[grid]) for grid in sorted(blocks, key=lambda grid: -grid.places)}


def _at_least_one(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ParameterError(f"{name}={value!r}: expected a whole number of 1 or more")
    return value

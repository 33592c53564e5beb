"""Where the attention of the picture went: to which words, in which steps, blocks and heads, and what got the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, TypeVar

from jaxtyping import Float
from torch import Tensor

from attnscope.errors import SelectionError
from attnscope.records import TEXT_KINDS, Kind, Layer, Token
from attnscope.trace.trace import Trace

Key = TypeVar("Key", int, tuple[int, int])
Sums = dict[tuple[int, Kind, int], Float[Tensor, "head token"]]


@dataclass(frozen=True)
class Spread:
    """How a share of attention is spread over steps, blocks and heads; 0..1 each, the mean over everything else.

    Attributes:
        share: The mean over all of them.
        by_step: By number of the step.
        by_block: By number of the block.
        by_head: By block and head.
    """

    share: float
    by_step: Mapping[int, float]
    by_block: Mapping[int, float]
    by_head: Mapping[tuple[int, int], float]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        heads: dict[str, list[float]] = {}
        for (block, _), share in sorted(self.by_head.items()):
            heads.setdefault(str(block), []).append(share)
        return {
            "share": self.share,
            "by_step": {str(step): share for step, share in self.by_step.items()},
            "by_block": {str(block): share for block, share in self.by_block.items()},
            "by_block_and_head": heads,
        }


@dataclass(frozen=True)
class Budget:
    """What the whole attention of the picture went to, shares of 1.

    Attributes:
        words: The words of the text.
        other_text: Punctuation and other tokens of the text that are no words.
        start: Start tokens.
        end: End tokens.
        padding: Padding tokens.
        elsewhere: What is no token of the text: the picture itself in a joint attention, or what an edit took away.
    """

    words: float
    other_text: float
    start: float
    end: float
    padding: float
    elsewhere: float

    @property
    def lost(self) -> float:
        """What start, end and padding tokens got, which name nothing."""
        return self.start + self.end + self.padding


class TokenShares:
    """The share of attention that each token gets, by step, block and head: a mean over the places of the picture.

    Args:
        sums: By block, kind and step, the mean over places for each head and token.
    """

    def __init__(self, sums: Sums) -> None:
        self._sums = sums

    @classmethod
    def of(cls, trace: Trace, branch: str, image: int) -> TokenShares:
        """The shares of one image of a trace.

        Args:
            trace: Of one pass.
            branch: Guidance branch.
            image: Number of the image in the batch.

        Raises:
            SelectionError: The trace holds no attention to the text, or no such branch or image.

        Cost: one softmax over all tokens for each step, block and head, as a heat map.
        """
        sums: Sums = {}
        for layer in trace.layers_of_kind(*TEXT_KINDS):
            for step in trace.steps_with(layer, branch, image):
                sums[layer.block, layer.kind, step] = _of_layer(trace, layer, step, branch, image)
        if not sums:
            raise SelectionError(f"no step of this trace has a row of branch {branch!r} of image {image}")
        return cls(sums)

    def spread(self, tokens: Sequence[int]) -> Spread:
        """How the share of some tokens together is spread.

        Args:
            tokens: Their numbers.
        """
        by_place = {place: table[:, list(tokens)].sum(1).tolist() for place, table in self._sums.items()}
        means = {place: fmean(heads) for place, heads in by_place.items()}
        by_head = [((block, head), v) for (block, _, _), of in by_place.items() for head, v in enumerate(of)]
        return Spread(
            fmean(means.values()),
            _grouped((step, mean) for (_, _, step), mean in means.items()),
            _grouped((block, mean) for (block, _, _), mean in means.items()),
            _grouped(by_head),
        )

    def budget(self, tokens: Sequence[Token], of_words: Sequence[int]) -> Budget:
        """What all of the attention went to.

        Args:
            tokens: The tokens of the text.
            of_words: Numbers of those that are words.
        """
        roles = {
            role: [t.index for t in tokens if t.role == role] for role in ("start", "end", "padding", "text")
        }
        shares = {role: self.spread(numbers).share for role, numbers in roles.items()}
        words = self.spread(sorted(set(of_words))).share
        rest = max(0.0, 1 - sum(shares.values()))
        other = max(0.0, shares["text"] - words)
        return Budget(words, other, shares["start"], shares["end"], shares["padding"], rest)


def _of_layer(trace: Trace, layer: Layer, step: int, branch: str, image: int) -> Float[Tensor, "head token"]:
    table = trace.probabilities(layer=layer, step=step, branch=branch, image=image, mean="query")
    return table.double().cpu()


def _grouped(values: Iterable[tuple[Key, float]]) -> dict[Key, float]:
    """The mean of the values of each key, by key in order."""
    groups: dict[Key, list[float]] = {}
    for key, value in values:
        groups.setdefault(key, []).append(value)
    return {key: fmean(groups[key]) for key in sorted(groups)}

"""Lists of transformer blocks: how many there are, and which attentions each of them has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from attnscope.atlas.families.family import Sides
from attnscope.atlas.families.planning import Config, number

SELF_THEN_CROSS = {"attn1": Sides(("own",), ("own",)), "attn2": Sides(("own",), ("context",))}
"""A block in which the image attends to itself, then to the text."""


def _all(config: Config, block: int, name: str) -> bool:
    return True


def heads_of(config: Config, name: str) -> tuple[int, int]:
    """Heads and channels of a head, by the options that most transformers have.

    Args:
        config: The model's configuration.
        name: The attention's name in its block, which few ask: cross-attention may have heads of its own.
    """
    if name == "attn2" and "num_cross_attention_heads" in config:
        return number(config, "num_cross_attention_heads"), number(config, "cross_attention_head_dim")
    names = ("n_heads", "num_heads", "num_attention_heads")
    heads = number(config, next((name for name in names if name in config), names[-1]))
    if "attention_head_dim" in config:
        return heads, number(config, "attention_head_dim")
    return heads, number(config, "dim" if "dim" in config else "hidden_size") // heads


@dataclass(frozen=True)
class Blocks:
    """A list of transformer blocks.

    Attributes:
        path: Its module path, such as 'transformer_blocks'.
        count: The option of the configuration that says how many there are.
        attentions: The attentions of each block by name, in the order in which they run.
        stage: What the list is called in tables; its path without '_blocks' where nothing is said.
        has: Whether a block, by its number, has an attention; every one has all of them where nothing is said.
    """

    path: str
    count: str
    attentions: Mapping[str, Sides]
    stage: str
    has: Callable[[Config, int, str], bool] = _all

    def paths(self, config: Config) -> Iterator[str]:
        """Module paths of its attentions.

        Args:
            config: The model's configuration.
        """
        for block in range(number(config, self.count, least=0)):
            for name in self.attentions:
                if self.has(config, block, name):
                    yield f"{self.path}.{block}.{name}"

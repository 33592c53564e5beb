"""What a capture keeps: kinds, blocks, steps and branches, as people write them into a node."""

from __future__ import annotations

import re
from dataclasses import dataclass

from attnscope.errors import ParameterError

from .sites import Site, SiteKey

KINDS = ("both", "cross", "self")
BRANCHES = ("cond", "both")
LARGEST = 10_000
_RANGE = re.compile(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?")


@dataclass(frozen=True)
class Choice:
    """What a capture keeps.

    Attributes:
        kind: 'self', 'cross' or 'both'.
        blocks: Block numbers from 1, None for all.
        steps: Step numbers from 0, None for all.
        branches: 'cond' for the prompt's rows, 'both' for the negative prompt's, too.
    """

    kind: str = "both"
    blocks: frozenset[int] | None = None
    steps: frozenset[int] | None = None
    branches: str = "cond"

    def sites(self, sites: dict[SiteKey, Site]) -> dict[SiteKey, Site]:
        """Those attentions of a model that are kept.

        Args:
            sites: All of them.

        Raises:
            ParameterError: A block is unknown.
        """
        known = {site.block for site in sites.values()}
        if self.blocks is not None and (unknown := self.blocks - known):
            raise ParameterError(
                f"blocks: {', '.join(map(str, sorted(unknown)))}: this model has blocks 1 to {max(known)}"
            )
        return {
            key: site
            for key, site in sites.items()
            if self.kind in ("both", site.kind) and (self.blocks is None or site.block in self.blocks)
        }

    def keeps_step(self, step: int) -> bool:
        """Whether a step is kept.

        Args:
            step: Its number, from 0.
        """
        return self.steps is None or step in self.steps

    def keeps_branch(self, branch: str) -> bool:
        """Whether rows of a branch are kept.

        Args:
            branch: Its name.
        """
        return self.branches == "both" or branch == "cond"


def numbers(text: str, name: str) -> frozenset[int] | None:
    """Numbers and ranges such as '1, 4, 7-9'; None for an empty text, which stands for all.

    Args:
        text: The text.
        name: What is chosen, for messages.

    Raises:
        ParameterError: The text is something else.
    """
    if not text.strip():
        return None
    chosen: set[int] = set()
    for part in text.split(","):
        match = _RANGE.fullmatch(part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last <= LARGEST:
            raise ParameterError(
                f"{name}: {text!r}: expected numbers and ranges such as 1, 4, 7-9, or nothing for all"
            )
        chosen |= set(range(first, last + 1))
    return frozenset(chosen)

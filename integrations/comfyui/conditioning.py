"""The texts of a run: named by CLIP before it, and checked against the conditionings that it gets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from attnscope.errors import CaptureError, WordError
from attnscope.records import Token
from attnscope.trace.tokens import unnamed_tokens

from .images import plain_tensors
from .words import tokens_of

LARGEST_DIFFERENCE = 0.05
"""Of two encodings of one text, as a share of a token's length: room for half precision and other devices. A choice,
not a measurement."""
BRANCH_OF_CONDS = {"positive": "cond", "negative": "uncond"}


@dataclass(frozen=True)
class Text:
    """A text, its tokens, and how CLIP encodes it.

    Attributes:
        prompt: Without weights.
        tokens: The keys of cross-attention.
        encoded: (token, channel).
    """

    prompt: str
    tokens: tuple[Token, ...]
    encoded: Tensor

    def is_encoded_as(self, conditioning: Tensor) -> bool:
        """Whether a conditioning is this text.

        Args:
            conditioning: (batch, token, channel).
        """
        theirs = conditioning.detach().float().cpu()
        if theirs.ndim != 3 or theirs.shape[1:] != self.encoded.shape:
            return False
        gap = torch.linalg.vector_norm(theirs - self.encoded, dim=-1)
        return bool((gap <= LARGEST_DIFFERENCE * torch.linalg.vector_norm(self.encoded, dim=-1)).all())


def read_text(clip: Any, text: str) -> Text:
    """A text as CLIP reads it.

    Args:
        clip: ComfyUI's CLIP.
        text: The prompt as it was typed.

    Raises:
        WordError: Its tokens have no known places.

    Cost: CLIP encodes the text once.
    """
    prompt, tokens = tokens_of(clip, text)
    encoded = clip.encode_from_tokens(clip.tokenize(text))
    with plain_tensors():
        kept = encoded[0].detach().float().cpu().clone()
    if len(kept) != len(tokens):
        raise WordError(
            f"CLIP makes {len(kept)} vectors of the {len(tokens)} tokens of {prompt!r}; expected one each: leave clip "
            "unconnected, which leaves words unnamed"
        )
    return Text(prompt, tokens, kept)


@dataclass(frozen=True)
class Texts:
    """The texts that a user named.

    Attributes:
        positive: Of the positive conditioning; None if no CLIP is connected.
        negative: Of the negative one.
    """

    positive: Text | None = None
    negative: Text | None = None

    def checked(self, conds: dict[str, Any]) -> Texts:
        """The texts that a run's conditionings really are.

        Args:
            conds: The conditionings of ComfyUI's guider, by name.

        Raises:
            CaptureError: One is another text.
        """
        negative = self.negative
        if self.positive is not None and not _is(self.positive, conds.get("positive")):
            raise CaptureError(_differs("text", self.positive.prompt, "positive"))
        if negative is not None and not _is(negative, conds.get("negative")):
            if negative.prompt.strip() and conds.get("negative"):
                raise CaptureError(_differs("negative_text", negative.prompt, "negative"))
            negative = None  # nobody named it
        return replace(self, negative=negative)


def _is(text: Text, conds: Any) -> bool:
    given = conds[0].get("cross_attn") if conds else None
    return given is not None and text.is_encoded_as(given)


def _differs(name: str, prompt: str, which: str) -> str:
    return (
        f"{name} is {prompt!r}, which is not what the {which} conditioning of KSampler encodes: connect the same text "
        "and the same CLIP (after LoRAs and clip skip) to both, or leave clip unconnected, which leaves words unnamed"
    )


def single_conds(conds: dict[str, Any]) -> dict[Any, str]:
    """The guidance branch of each conditioning, by ComfyUI's number of it.

    Args:
        conds: The conditionings of ComfyUI's guider, by name.

    Raises:
        CaptureError: A branch has several conditionings, or one for a part of the picture.
    """
    branches = {}
    for name, given in conds.items():
        if len(given) != 1 or given[0].get("area") is not None:
            what = "one for an area" if len(given) == 1 else f"{len(given)} at once"
            raise CaptureError(
                f"the {name} conditioning is {what}: expected one for the whole picture and the whole run. Which of "
                "several a place attends to can't be told apart; take out Combine, Set Area and Set Timestep Range"
            )
        branches[given[0]["uuid"]] = BRANCH_OF_CONDS.get(name, name)
    return branches


def tokens_for(text: Text | None, keys: int) -> tuple[Token, ...]:
    """The tokens of all keys. ComfyUI repeats a text that is shorter than the other branch's: so do its tokens.

    Args:
        text: The text, None if unknown.
        keys: How many keys the layers have.

    Raises:
        CaptureError: The keys aren't the text's.
    """
    if text is None:
        return unnamed_tokens(keys)
    times, rest = divmod(keys, len(text.tokens))
    if rest or not times:
        raise CaptureError(
            f"cross-attention has {keys} keys and {text.prompt!r} has {len(text.tokens)} tokens: another node adds "
            "keys of its own; leave clip unconnected, or take that node out"
        )
    every = text.tokens * times
    return tuple(replace(token, index=index) for index, token in enumerate(every))

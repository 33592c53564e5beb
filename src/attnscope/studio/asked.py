"""What a browser asks the studio for, as plain data with bounds."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Bool
from pydantic import BaseModel, ConfigDict, Field, model_validator

from attnscope.errors import ParameterError

MOST_LETTERS = 4000
"""Of a prompt."""
MOST_STEPS = 250
MOST_PX = 4096
MOST_EDITS = 200
MOST_TOKENS = 1024
MOST_SEED = 2**53 - 1
"""The largest whole number that a page's script has exactly."""
MOST_FACTOR = 100.0
MOST_MASK_PX = 1024

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Words = (
    Annotated[str, Field(min_length=1, max_length=MOST_LETTERS)]
    | Annotated[
        list[Annotated[int, Field(ge=0, lt=MOST_TOKENS)]], Field(min_length=1, max_length=MOST_TOKENS)
    ]
)
"""A word of the prompt, or numbers of tokens where a word comes twice."""
Number = Annotated[int, Field(ge=1, le=10**9)]
Block = Annotated[int, Field(ge=1, le=10**4)]


class _Plain(BaseModel):
    model_config = ConfigDict(extra="forbid")


class MaskAsked(_Plain):
    """A painted region. bits: base64 of its pixels row by row, eight a byte, the first one in the highest bit."""

    height: Annotated[int, Field(ge=1, le=MOST_MASK_PX)]
    width: Annotated[int, Field(ge=1, le=MOST_MASK_PX)]
    bits: Annotated[str, Field(max_length=MOST_MASK_PX**2 // 6 + 8)]

    def pixels(self) -> Bool[np.ndarray, "height width"]:
        """The region.

        Raises:
            ParameterError: The bits are not those of so many pixels.
        """
        count = self.height * self.width
        try:
            packed = np.frombuffer(base64.b64decode(self.bits, validate=True), np.uint8)
        except (binascii.Error, ValueError) as error:
            raise ParameterError(f"mask: bits are not base64 ({error})") from error
        if len(packed) != -(-count // 8):
            raise ParameterError(
                f"mask: {len(packed)} bytes of bits; expected {-(-count // 8)} for {self.height}x{self.width} pixels"
            )
        return np.unpackbits(packed)[:count].reshape(self.height, self.width).astype(bool)


class ReweightAsked(_Plain):
    """Attention to a word times a factor."""

    edit: Literal["reweight"]
    words: Words
    factor: Annotated[float, Field(ge=-MOST_FACTOR, le=MOST_FACTOR, allow_inf_nan=False)]


class RegionAsked(_Plain):
    """A word is read inside a region only. box: top, left, bottom, right in shares of the picture."""

    edit: Literal["region"]
    words: Words
    box: tuple[Share, Share, Share, Share] | None = None
    mask: MaskAsked | None = None

    @model_validator(mode="after")
    def _check(self) -> RegionAsked:
        if (self.box is None) == (self.mask is None):
            raise ValueError("expected a box or a mask")
        return self


class AblateAsked(_Plain):
    """A head or a whole layer gives nothing."""

    edit: Literal["ablate"]
    block: Block
    kind: Literal["self", "cross"]
    head: Annotated[int, Field(ge=0, le=10**4)] | None = None


class FreezeAsked(_Plain):
    """Self-attention of an earlier run, which keeps its layout. until: the share of steps."""

    edit: Literal["freeze"]
    run: Number
    until: Share = 1.0


EditAsked = Annotated[ReweightAsked | RegionAsked | AblateAsked | FreezeAsked, Field(discriminator="edit")]


class LayoutAsked(_Plain):
    """Prompt-to-prompt: the picture of an earlier run, of this prompt. Shares of the steps."""

    run: Number
    cross_steps: Share = 0.8
    self_steps: Share = 0.4


class RunAsked(_Plain):
    """A picture. What is None is the pipeline's own; before: the run that it is compared with."""

    prompt: Annotated[str, Field(max_length=MOST_LETTERS)]
    negative_prompt: Annotated[str, Field(max_length=MOST_LETTERS)] = ""
    seed: Annotated[int, Field(ge=0, le=MOST_SEED)] = 0
    steps: Annotated[int, Field(ge=1, le=MOST_STEPS)] | None = None
    guidance_scale: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] | None = None
    height: Annotated[int, Field(ge=8, le=MOST_PX)] | None = None
    width: Annotated[int, Field(ge=8, le=MOST_PX)] | None = None
    edits: Annotated[list[EditAsked], Field(max_length=MOST_EDITS)] = []
    layout: LayoutAsked | None = None
    before: Number | None = None

    @model_validator(mode="after")
    def _check(self) -> RunAsked:
        if (self.height is None) != (self.width is None):
            raise ValueError("expected both height and width, or neither")
        if self.layout is not None and any(edit.edit != "reweight" for edit in self.edits):
            raise ValueError("with a layout only weights of words can be edited")
        return self

    @property
    def earlier(self) -> set[int]:
        """Numbers of the runs that it needs."""
        frozen = {edit.run for edit in self.edits if isinstance(edit, FreezeAsked)}
        return frozen | ({self.layout.run} if self.layout is not None else set())

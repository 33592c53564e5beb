"""Whether a capture can keep what reads words that are not in the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attnscope.atlas.families import Family, unwrapped
from attnscope.errors import CaptureError, ParameterError
from attnscope.recording.planning.modules import TappedLayer
from attnscope.records import TEXT_KINDS

_REMEDY = "capture without open_words=True, and a run whose prompt has the words"


def check_open_words(family: Family, model: Any, with_qk: Sequence[TappedLayer]) -> None:
    """Refuse `open_words=True` where no keys of another text can follow from what a trace holds.

    Args:
        family: The model's family.
        model: The model.
        with_qk: The layers whose Q and K are kept.

    Raises:
        ParameterError: No cross-attention is kept.
        CaptureError: The model's attention to the text depends on more than the text.
    """
    kinds = {tapped.layer.kind for tapped in with_qk}
    reads_text = kinds.intersection(TEXT_KINDS)
    if why := family.closed_to_words(getattr(unwrapped(model), "config", {}), kinds):
        raise CaptureError(f"open_words=True: {type(unwrapped(model)).__name__} {why}: {_REMEDY}")
    if not reads_text:
        raise ParameterError(
            "open_words=True reads words by the Q and K of cross-attention, of which this capture keeps none: leave "
            "out kind='self', qk=False and steps=[]"
        )

"""Whether a capture can keep what reads words that are not in the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from attnscope.atlas.families import Family, unwrapped
from attnscope.errors import CaptureError, ParameterError
from attnscope.recording.planning.modules import TappedLayer
from attnscope.records import TEXT_KINDS, Kind

_REMEDY = "capture without open_words=True, and a run whose prompt has the words"


def check_open_words(family: Family, model: Any, with_qk: Sequence[TappedLayer], kind: Kind | None) -> None:
    """Refuse `open_words=True` where no keys of another text can follow from what a trace holds.

    Args:
        family: The model's family.
        model: The model.
        with_qk: The layers whose Q and K are kept.
        kind: The kind that was asked for.

    Raises:
        ParameterError: No cross-attention is kept.
        CaptureError: The model's attention to the text depends on more than the text.
    """
    inner = unwrapped(model)
    name = f"open_words=True: {type(inner).__name__}"
    kinds = {tapped.layer.kind for tapped in with_qk}
    if why := family.closed_to_words(getattr(inner, "config", {}), kinds):
        raise CaptureError(f"{name} {why}: {_REMEDY}")
    if not with_qk or kind not in (None, *TEXT_KINDS):
        chosen = "qk=False and steps=[]" if not with_qk else f"kind={kind!r}"
        raise ParameterError(
            f"open_words=True reads words by Q of cross-attention, which this capture does not keep: leave {chosen} out"
        )
    if not kinds.intersection(TEXT_KINDS):
        raise ParameterError(
            f"{name} has no cross-attention in these blocks, so nothing reads words: leave it out"
        )
    for tapped in with_qk:
        if tapped.layer.kind in TEXT_KINDS and (norm := _unkept_norm(tapped.module)):
            raise CaptureError(f"open_words=True: {tapped.layer} ({tapped.path}) {norm}: {_REMEDY}")


def _unkept_norm(module: Any) -> str:
    """What a layer does to the text or its keys that is not kept; '' for nothing."""
    if getattr(module, "norm_k", None) is not None:
        return "normalises its keys (norm_k), which is not kept for other texts"
    norm = getattr(module, "norm_cross", None)
    if norm is None or isinstance(norm, nn.LayerNorm):
        return ""
    return f"normalises the text by a {type(norm).__name__}, which is not kept for other texts"

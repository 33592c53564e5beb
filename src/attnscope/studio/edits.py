"""Edits that a browser asks for as edits of `attnscope.edit`, and as the Python that makes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attnscope.editing.edits import Ablate, Edit, Region, Reweight
from attnscope.editing.prompt_to_prompt import How
from attnscope.editing.sources import Freeze
from attnscope.errors import ParameterError
from attnscope.studio.asked import AblateAsked, EditAsked, FreezeAsked, RegionAsked, ReweightAsked
from attnscope.trace.trace import Trace


def edit_of(asked: EditAsked, steps: int, trace_of: Callable[[int], Trace]) -> Edit:
    """An edit.

    Args:
        asked: What was asked for.
        steps: How many the run has.
        trace_of: The trace of an earlier run, by its number.

    Raises:
        ParameterError: The numbers make no sense.
    """
    if isinstance(asked, ReweightAsked):
        return Reweight(asked.words, asked.factor)
    if isinstance(asked, RegionAsked):
        return Region(asked.words, asked.box if asked.mask is None else asked.mask.pixels())
    if isinstance(asked, AblateAsked):
        return Ablate(block=asked.block, kind=asked.kind, head=asked.head)
    return Freeze(trace_of(asked.run), steps=range(frozen_steps(asked, steps)))


def frozen_steps(asked: FreezeAsked, steps: int) -> int:
    """For how many steps self-attention is an earlier run's, from the first one.

    Args:
        asked: What was asked for.
        steps: How many the run has.
    """
    return max(1, round(asked.until * steps))


def code_of(asked: EditAsked, steps: int, names: Callable[[int], str], mask: str) -> str:
    """The same edit as Python.

    Args:
        asked: What was asked for.
        steps: How many the run has.
        names: The variable that holds the trace of an earlier run.
        mask: The variable that holds the edit's mask, if it has one.
    """
    if isinstance(asked, ReweightAsked):
        return f"attnscope.Reweight({asked.words!r}, {asked.factor!r})"
    if isinstance(asked, RegionAsked):
        return f"attnscope.Region({asked.words!r}, {repr(asked.box) if asked.mask is None else mask})"
    if isinstance(asked, AblateAsked):
        head = "" if asked.head is None else f", head={asked.head}"
        return f'attnscope.Ablate(block={asked.block}, kind="{asked.kind}"{head})'
    return f"attnscope.Freeze({names(asked.run)}, steps=range({frozen_steps(asked, steps)}))"


def how_of(source: str, target: str) -> How:
    """Which kind of prompt-to-prompt two prompts are for.

    Args:
        source: Prompt of the picture that there is.
        target: Prompt of the picture that is asked for.
    """
    if source == target:
        return "reweight"
    return "replace" if len(source.split()) == len(target.split()) else "refine"


def weights_of(edits: Sequence[EditAsked]) -> dict[str, float]:
    """Factors of words, as prompt-to-prompt takes them.

    Args:
        edits: Weights of words.

    Raises:
        ParameterError: A word is given by its tokens.
    """
    weights: dict[str, float] = {}
    for edit in edits:
        if isinstance(edit, ReweightAsked):
            if not isinstance(edit.words, str):
                raise ParameterError(
                    "a layout takes weights only for words that occur once in the prompt: choose another word"
                )
            weights[edit.words] = edit.factor
    return weights

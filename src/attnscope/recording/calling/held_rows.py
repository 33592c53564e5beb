"""Rows of a call by the variable of the pipeline's call that holds its conditioning, where the model's family says so.

Transformers' pipelines call their model once for all branches, or once for each; which variable the text comes from
tells which. Where two hold the same text, the calls of a step come in the order in which the family names them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from attnscope.atlas.families import Family
from attnscope.atlas.families.family import RowsBy
from attnscope.recording.calling.callers import Caller, defining_class
from attnscope.recording.calling.known_rows import branches_with_perturbed


def rows_by(family: Family, caller: Caller | None) -> RowsBy | None:
    """What the family says of a pipeline; None where it does not know it, or where something else calls the model.

    Args:
        family: The model's family.
        caller: The call of the pipeline, None by hand.
    """
    if caller is None or not caller.is_direct:
        return None
    return family.pipelines.get(defining_class(caller))


def held_branches(
    family: Family, caller: Caller | None, conditioning: Any, turn: int
) -> tuple[str, ...] | None:
    """The branches of a call's rows, in the batch's order; each holds all images.

    Args:
        family: The model's family.
        caller: The call of the pipeline, None by hand.
        conditioning: What the model got.
        turn: How many calls of the step came before.

    Returns:
        The branches; None where the family does not know the pipeline, or none of the variables holds this.
    """
    by = rows_by(family, caller)
    if by is None or caller is None:
        return None
    variables = caller.variables
    held = [(variables[name], rows) for name, rows in by.items() if variables.get(name) is not None]
    same = [rows for value, rows in held if value is conditioning] or [
        rows for value, rows in held if _is_equal(value, conditioning)
    ]
    if not same:
        return None
    rows = same[min(turn, len(same) - 1)]
    return rows if isinstance(rows, tuple) else _in_one_batch(caller.pipeline, variables, rows)


def _in_one_batch(pipeline: Any, variables: Mapping[str, Any], rows: str) -> tuple[str, ...]:
    branches = branches_with_perturbed(pipeline, variables)
    return branches[::-1] if rows == "batch, cond first" else branches


def _is_equal(held: Any, conditioning: Any) -> bool:
    """Whether they hold the same numbers: offloading moves tensors, and a model's type may be another."""
    if isinstance(held, list) and isinstance(conditioning, (list, tuple)):
        return len(held) == len(conditioning) and all(map(_is_equal, held, conditioning))
    if not isinstance(held, Tensor) or not isinstance(conditioning, Tensor):
        return False
    return held.shape == conditioning.shape and torch.equal(held.to(conditioning), conditioning)

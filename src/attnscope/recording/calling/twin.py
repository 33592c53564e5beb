"""A pipeline beside another, for a call that leaves no trace on the first."""

from __future__ import annotations

import copy
from typing import Any


def twin_of(pipe: Any) -> Any:
    """A pipeline with the same models that has its own scheduler and notes of a call, so that the first is unchanged.

    Args:
        pipe: The pipeline.
    """
    twin = copy.copy(pipe)
    twin.scheduler = copy.deepcopy(pipe.scheduler)
    twin.set_progress_bar_config(disable=True)
    return twin

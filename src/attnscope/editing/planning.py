"""Which layers edits are for, checked before anything runs."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from attnscope.atlas.families import Family
from attnscope.editing.edits import Edit
from attnscope.errors import EditError, SelectionError
from attnscope.recording.obstacles.merged import merged_tokens
from attnscope.recording.planning.keeping import Keeping
from attnscope.recording.planning.modules import choose_layers
from attnscope.recording.planning.plan import Asked, Plan
from attnscope.records import LayerId


def plan_edits(
    family: Family, model: nn.Module, edits: Sequence[Edit], branches: Sequence[str] | None
) -> Plan:
    """The layers of one model that edits are for. Nothing is kept of them.

    Args:
        family: How the model is built.
        model: The denoising model.
        edits: The edits.
        branches: Names of the guidance rows, where the user gives them.

    Raises:
        SelectionError: The model lacks a block or a kind that an edit is for.
        EditError: Tokens are merged before such a layer.
    """
    edited: set[LayerId] = set()
    for edit in edits:
        try:
            chosen = choose_layers(family, model, edit.block, edit.asked_kind)
        except SelectionError as error:
            raise SelectionError(f"{edit}: {error}") from None
        for tapped in chosen:
            if (obstacle := merged_tokens(model, tapped.path, tapped.layer.kind)) is not None:
                raise EditError(f"{tapped.layer} ({tapped.path}) can't be edited, {obstacle}")
        edited |= {tapped.layer for tapped in chosen}
    everything = choose_layers(family, model, None, None)
    layers = tuple(tapped for tapped in everything if tapped.layer in edited)
    asked = Asked(None, None, [], None, branches, {}, Keeping("device", None, False), qk=False)
    return Plan(family, model, asked, layers, with_qk=frozenset())

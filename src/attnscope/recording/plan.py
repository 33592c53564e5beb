"""What a capture is asked to record, checked against the model before anything runs."""

from __future__ import annotations

import sys
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from attnscope.errors import ParameterError
from attnscope.recording.keeping import Keeping
from attnscope.recording.modules import TappedLayer, choose_layers
from attnscope.records import Kind, LayerId, Row
from attnscope.records.reduced import Reduced, checked_orders
from attnscope.trace.selection import pick_name, pick_number

Steps = int | Sequence[int] | slice | None


@dataclass(frozen=True)
class Plan:
    """layers: all that are watched, in execution order. with_qk: those whose Q and K are kept.

    steps, branch: of Q and K, as the user chose them. branch_names: what the rows are, where the user says it.
    orders: maps that are reduced over the run.
    """

    layers: tuple[TappedLayer, ...]
    with_qk: frozenset[LayerId]
    steps: Steps
    branch: str | Sequence[str] | None
    branch_names: Sequence[str] | None
    orders: Mapping[str, Reduced]
    keeping: Keeping

    @property
    def keeps_no_qk(self) -> bool:
        return not self.with_qk

    def kept_rows(self, rows: Sequence[Row]) -> list[int]:
        """Numbers of the batch rows whose branch was chosen."""
        if self.branch is None:
            return list(range(len(rows)))
        names = list(dict.fromkeys(row.branch for row in rows))
        wanted = {names[at] for at in pick_name("branch", self.branch, names).positions}
        return [at for at, row in enumerate(rows) if row.branch in wanted]


def plan_capture(
    unet: nn.Module,
    *,
    blocks: int | Sequence[int] | None,
    kind: Kind | None,
    steps: Steps,
    branch: str | Sequence[str] | None,
    branch_names: Sequence[str] | None,
    keep: Mapping[str, Reduced],
    keeping: Keeping,
) -> Plan:
    """Raises SelectionError and ParameterError for what the model lacks or what makes no sense."""
    orders = checked_orders(keep)
    only_reduced = bool(orders) and isinstance(steps, Sequence) and not steps
    with_qk = [] if only_reduced else choose_layers(unet, blocks, kind)
    chosen = [
        *with_qk,
        *(one for order in orders.values() for one in choose_layers(unet, order.blocks, order.kind)),
    ]
    watched = {tapped.layer for tapped in chosen}
    return Plan(
        layers=tuple(tapped for tapped in choose_layers(unet, None, None) if tapped.layer in watched),
        with_qk=frozenset(tapped.layer for tapped in with_qk),
        steps=steps,
        branch=branch,
        branch_names=branch_names,
        orders=orders,
        keeping=keeping,
    )


def wanted_steps(steps: Steps, planned: int | None) -> Container[int]:
    """Numbers of the steps to record; those that never come are named when the capture ends.

    planned: how many steps the pipeline is going to take, None where that is not known.
    """
    endless = range(sys.maxsize)
    if steps is None:
        return endless
    if planned is not None:
        return set(pick_number("step", steps, range(planned)).positions)
    ends = (steps.start, steps.stop) if isinstance(steps, slice) else steps
    numbers = [ends] if isinstance(ends, int) else [n for n in ends if n is not None]
    if any(number < 0 for number in numbers):
        raise ParameterError(f"steps {steps}: how many steps come is not known here; count from 0")
    return endless[steps] if isinstance(steps, slice) else set(numbers)

"""The outputs of modules in one pass: taken by plain forward hooks, kept with the call that they are of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from attnscope.errors import describe_numbers
from attnscope.recording.planning.plan import Plan
from attnscope.records import Call
from attnscope.storage.memory import NO_OUTPUTS, Outputs, Records

_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""What a trace can hold."""


class ModuleOutputs:
    """The outputs of one pass.

    Args:
        plan: Which modules, and how their outputs are kept.
    """

    def __init__(self, plan: Plan) -> None:
        self._modules, self._keeping = plan.outputs, plan.asked.keeping
        self._call: Call | None = None
        self._rows: Sequence[int] = ()
        self._taken: dict[str, Tensor] = {}
        self._why_not: dict[str, str] = {}
        self._lost: dict[str, dict[str, list[int]]] = {}
        self.recorded = False
        """Whether anything was kept."""

    def begin(self, call: Call, rows: Sequence[int] | None) -> None:
        """The model is called.

        Args:
            call: The call.
            rows: Numbers of the rows that are kept; None if nothing of the call is.
        """
        self._call, self._rows = (None if rows is None else call), rows or ()
        self._taken, self._why_not = {}, {}

    def note(self, path: str, output: Any) -> None:
        """A module has run. Whatever it gave, the run goes on.

        Args:
            path: Its path.
            output: What it gave.
        """
        if self._call is None or path in self._why_not:
            return
        if path in self._taken:
            del self._taken[path]
            self._why_not[path] = (
                "it ran more than once in a call of the model, so nothing says which is meant"
            )
            return
        try:
            self._taken[path] = self._kept(output, len(self._call.rows))
        except Exception as error:  # of a tensor unlike all that are known, or for want of memory
            self._why_not[path] = str(error) or type(error).__name__

    def _kept(self, output: Any, rows: int) -> Tensor:
        first = output if isinstance(output, Tensor) else _first(output)
        if not isinstance(first, Tensor):
            raise TypeError(f"it gives {_named(output)}, which is neither a tensor nor begins with one")
        is_kept = self._keeping.dtype is not None and first.is_floating_point()
        if first.dtype not in _TYPES and not is_kept:
            remedy = "; choose dtype=" if first.is_floating_point() else ""
            raise TypeError(f"it gives numbers of type {first.dtype}, which a trace can't hold{remedy}")
        if first.ndim == 0 or first.shape[0] != rows:
            raise TypeError(
                f"it gives a tensor of shape {tuple(first.shape)}, whose first axis is not the {rows} row(s) of the "
                "model's batch"
            )
        return self._keeping.kept_output(first, self._rows)

    def of_call(self, records: Records) -> Outputs:
        """The outputs of the call that has ended.

        Args:
            records: Those of the pass, which learn of modules that they did not know.
        """
        if self._call is None or not self._modules:
            return NO_OUTPUTS
        for path, module in self._modules.items():
            if path in self._taken:
                records.outputs.setdefault(path, type(module).__name__)
            else:
                why = self._why_not.get(path, "it did not run")
                self._lost.setdefault(path, {}).setdefault(why, []).append(self._call.step)
        taken, self._taken, self._call = self._taken, {}, None
        self.recorded = self.recorded or bool(taken)
        return {path: taken[path] for path in self._modules if path in taken}

    def gaps(self) -> Iterator[str]:
        """Modules whose output is missing in some steps, and why."""
        for path, causes in self._lost.items():
            for why, steps in causes.items():
                at = describe_numbers(sorted(set(steps)))
                yield f"the output of {path} was not recorded in step(s) {at}, because {why}"


def _first(output: Any) -> Any:
    """The first element of a tuple, or of one of diffusers' outputs, whose fields may be asked for by number."""
    try:
        return output[0]
    except (TypeError, LookupError):
        return None


def _named(output: Any) -> str:
    return "None" if output is None else f"a {type(output).__name__}"

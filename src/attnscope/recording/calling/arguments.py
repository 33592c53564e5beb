"""What a model is called with, by the names of its family, and what that call attends over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from attnscope.atlas.families import Attended, Family, unwrapped
from attnscope.errors import CaptureError
from attnscope.recording.calling.callers import Asking, Caller
from attnscope.recording.calling.held_rows import rows_by
from attnscope.recording.calling.named_arguments import NamedArguments


class Arguments:
    """Reads the arguments of one model's forward.

    Args:
        family: The model's family.
        model: The model.
    """

    def __init__(self, family: Family, model: nn.Module) -> None:
        self._family, self._model = family, unwrapped(model)
        self._named = NamedArguments(self._model, "forward", family.arguments)
        self._known: tuple[Any, Attended | None] = (None, None)

    def read(self, args: tuple, kwargs: Mapping[str, Any], caller: Caller | None) -> Asking:
        """What a call asks of the model.

        Args:
            args: As the model got them.
            kwargs: As the model got them.
            caller: The call of a pipeline, None where the model is called by hand.

        Raises:
            CaptureError: The call names no noisy latent.
        """
        arguments = self._named.read(args, kwargs)
        known: list[Any] = [arguments.get(name) for name in self._family.arguments]
        sample, timestep, conditioning = known
        if sample is None:
            name, given = self._family.arguments[0], ", ".join(arguments) or "nothing"
            raise CaptureError(
                f"{type(self._model).__name__} was called without `{name}`, which tells its rows: it got {given}; "
                "call it by the names of its own forward"
            )
        attended = self._attended(arguments)
        by = rows_by(self._family, caller)
        if attended is not None and by is not None and caller is not None:
            longest = self._family.longest_text(by, caller.variables)
            attended = attended.with_text(longest, len(sample))
        return Asking(sample, timestep, conditioning, caller, attended)

    def _attended(self, arguments: Mapping[str, Any]) -> Attended | None:
        """Worked out once for calls that are alike: positions lie on a GPU, which would have to be waited for."""
        shapes = {name: _shapes(value) for name, value in arguments.items()}
        positions = [arguments.get(name) for name in self._family.positions]
        known, attended = self._known
        if known is not None and known[0] == shapes and _are_same(known[1], positions):
            return attended
        attended = self._family.attended(getattr(self._model, "config", {}), arguments)
        self._known = ((shapes, positions), attended)
        return attended


def _shapes(value: Any) -> Any:
    """Shapes of tensors, also in lists, and whole numbers, which may be sizes; nothing of the rest."""
    if isinstance(value, Tensor):
        return tuple(value.shape)
    if isinstance(value, (list, tuple)):
        return tuple(_shapes(each) for each in value)
    return value if isinstance(value, int) else None


def _are_same(some: Iterable[Any], others: Iterable[Any]) -> bool:
    return all(one is other for one, other in zip(some, others, strict=True))

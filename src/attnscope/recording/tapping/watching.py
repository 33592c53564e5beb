"""What a capture puts on modules and pipelines, made so that copies leave it behind.

A pipeline may be copied or pickled while it is captured. The copy runs as if it had never been watched, and what it
does is not in the trace. Other threads may run the model meanwhile, also while these are put on and taken off.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import torch

_ARGUMENTS = 3
"""Of every hook here: the module, what it got, and its arguments by name or what it gave."""


class Hook:
    """A hook of a torch module. In a copy of the module it is a function that does nothing.

    Args:
        call: What the hook does.
    """

    def __init__(self, call: Callable[..., None]) -> None:
        self._call = call

    def __call__(self, *args: Any) -> None:
        # torch notes apart that a hook wants arguments by name: between the two steps another thread brings none
        if len(args) == _ARGUMENTS:
            self._call(*args)

    def __reduce__(self) -> tuple[Any, ...]:
        return _no_hook, ()


class WatchedMethod:
    """Stands in for a method of one object until it is taken off. In a copy of the object it is the copy's own method.

    Args:
        owner: The object.
        name: Name of the method.
        call: Called in its place with the method and what that gets; it calls the method.
    """

    def __init__(self, owner: Any, name: str, call: Callable[..., Any]) -> None:
        self._owner, self._name = owner, name
        self._method = getattr(owner, name)
        self._call: Callable[..., Any] | None = call
        self.before = vars(owner).get(name)
        """Somebody's own stand-in, None if the object has its class' method."""
        functools.update_wrapper(self, self._method, updated=())
        vars(owner)[name] = self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call = self._call
        return self._method(*args, **kwargs) if call is None else call(self._method, *args, **kwargs)

    @property
    def is_on(self) -> bool:
        """Whether it has not been taken off."""
        return self._call is not None

    def __reduce__(self) -> tuple[Any, ...]:
        if self.before is not None:
            return _same, (self.before,)
        return getattr, (self._owner, self._name)  # of the copy, which has no attributes of its own yet

    def take_off(self) -> None:
        """Leave the object as it was. A shallow copy of it that still holds this one is not watched any more.

        Where another capture watches the same method, that one's leaving takes this one off, too.
        """
        self._call = None
        attributes = vars(self._owner)
        while isinstance(top := attributes.get(self._name), WatchedMethod) and top._call is None:
            if top.before is None:
                del attributes[self._name]
            else:
                attributes[self._name] = top.before


def is_in(thread: int) -> bool:
    """Whether a hook runs in a thread. In a compiled module, where nothing tells, it is taken for granted.

    Args:
        thread: The thread's number.
    """
    return torch.compiler.is_dynamo_compiling() or threading.get_ident() == thread


def nothing(*args: Any, **kwargs: Any) -> None:
    """What a hook becomes in a copy.

    Args:
        args: Whatever a hook gets.
        kwargs: Whatever a hook gets.
    """


def _no_hook() -> Callable[..., None]:
    return nothing


def _same(value: Any) -> Any:
    return value

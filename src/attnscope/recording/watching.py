"""What a capture puts on modules and pipelines, made so that copies leave it behind.

A pipeline may be copied or pickled while it is captured. The copy runs as if it had never been watched, and what it
does is not in the trace.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


class Hook:
    """A hook of a torch module. In a copy of the module it is a function that does nothing.

    Args:
        call: What the hook does.
    """

    def __init__(self, call: Callable[..., None]) -> None:
        self._call = call

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        self._call(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return _no_hook, ()


class WatchedMethod:
    """Stands in for a method of one object until it is taken off. In a copy of the object it is the copy's own method.

    Args:
        owner: The object.
        name: Name of the method.
        call: Called in its place; it calls the method itself.
    """

    def __init__(self, owner: Any, name: str, call: Callable[..., Any]) -> None:
        self._owner, self._name, self._call = owner, name, call
        self._method = getattr(owner, name)
        self._before = vars(owner).get(name)  # somebody's own stand-in
        functools.update_wrapper(self, self._method)
        vars(owner)[name] = self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        if self._before is not None:
            return _same, (self._before,)
        return getattr, (self._owner, self._name)  # of the copy, which has no attributes of its own yet

    def take_off(self) -> None:
        """Leave the object as it was. A shallow copy of it that still holds this one is not watched any more."""
        self._call = self._method
        if vars(self._owner).get(self._name) is not self:
            return  # somebody has put something else there
        if self._before is None:
            del vars(self._owner)[self._name]
        else:
            vars(self._owner)[self._name] = self._before


def is_watched(owner: Any, name: str) -> bool:
    """Whether a capture watches a method of an object.

    Args:
        owner: The object.
        name: Name of the method.
    """
    return isinstance(vars(owner).get(name), WatchedMethod)


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

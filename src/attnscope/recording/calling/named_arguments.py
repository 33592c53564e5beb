"""What a method was called with, by name, also where a wrapper that takes anything stands in its place."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from inspect import Parameter
from typing import Any


class NamedArguments:
    """Gives the arguments of a method's calls their names.

    Callers know the method that the class defines. What stands in its place may only say `*args, **kwargs`, or call its
    parameters otherwise.

    Args:
        owner: The object whose method it is.
        method: Its name.
        usual: Names in order, where no definition has the first of them.
    """

    def __init__(self, owner: Any, method: str, usual: Sequence[str] = ()) -> None:
        definitions = (each for each in _definitions(owner, method) if not _takes_anything(each))
        known = next((each for each in definitions if not usual or usual[0] in each), {})
        self._names = tuple(known or usual)
        self._defaults = {
            name: each.default for name, each in known.items() if each.default is not Parameter.empty
        }

    def read(
        self, args: Sequence[Any], kwargs: Mapping[str, Any], *, defaults: bool = False
    ) -> dict[str, Any]:
        """The arguments of one call.

        Args:
            args: As the method got them.
            kwargs: As the method got them.
            defaults: Also those that were not given and have a default.
        """
        given = dict(zip(self._names, args, strict=False)) | dict(kwargs)
        return self._defaults | given if defaults else given

    def changed(
        self, args: Sequence[Any], kwargs: Mapping[str, Any], name: str, change: Callable[[Any], Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of a call with another value in the place of one of them.

        Args:
            args: As the method gets them.
            kwargs: As the method gets them.
            name: Which one, which was given.
            change: Gives the new value for the old one.
        """
        if name in kwargs:
            return tuple(args), {**kwargs, name: change(kwargs[name])}
        at = self._names.index(name)
        return (*args[:at], change(args[at]), *args[at + 1 :]), dict(kwargs)


def _definitions(owner: Any, method: str) -> Iterator[dict[str, Parameter]]:
    """Parameters of the method as each class defines it, the nearest first, and last as it is now."""
    for parent in type(owner).__mro__:
        if method in vars(parent):
            found = vars(parent)[method]
            if hasattr(found, "__get__"):  # a functools.partial is no method
                found = found.__get__(owner, parent)
            yield dict(inspect.signature(found).parameters)
    yield dict(inspect.signature(getattr(owner, method)).parameters)


def _takes_anything(parameters: Mapping[str, Parameter]) -> bool:
    return any(each.kind is Parameter.VAR_POSITIONAL for each in parameters.values())

"""Keywords that are right in the singular and in the plural, and answers to those that are wrong or out of place."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from attnscope.errors import KeywordError, ParameterError, nearest

Function = TypeVar("Function", bound=Callable[..., Any])


def both_spellings(*names: str) -> Callable[[Function], Function]:
    """Let a function, or a class, take each of these keywords in the singular as well as in the plural.

    An unknown keyword raises KeywordError, which is a TypeError and names the nearest one.

    Args:
        names: Keywords as they stand in the signature, such as "steps" or "head".

    >>> @both_spellings("steps")
    ... def first(steps):
    ...     return steps[0]
    >>> first(step=[4, 5])
    4
    """
    other_of = {_other(name): name for name in names}

    def decorate(function: Any) -> Any:
        if isinstance(function, type):
            function.__init__ = decorate(function.__init__)  # type: ignore[misc]
            return function
        known = [name for name in inspect.signature(function).parameters if name != "self"]
        takes_any = any(
            parameter.kind is parameter.VAR_KEYWORD
            for parameter in inspect.signature(function).parameters.values()
        )

        @functools.wraps(function)
        def spelled(*args: Any, **kwargs: Any) -> Any:
            called = function.__qualname__.removesuffix(".__init__")
            for other in other_of.keys() & kwargs.keys():
                if other_of[other] in kwargs:
                    raise KeywordError(
                        f"{called}() got both {other_of[other]} and {other}: they are one choice"
                    )
                kwargs[other_of[other]] = kwargs.pop(other)
            if not takes_any and (unknown := [name for name in kwargs if name not in known]):
                raise KeywordError(
                    f"{called}() has no {unknown[0]!r}; the nearest: {nearest(unknown[0], known)}"
                )
            return function(*args, **kwargs)

        return spelled

    return decorate


def _other(name: str) -> str:
    """The plural of a singular, the singular of a plural."""
    if name.endswith("s"):
        return name.removesuffix("es") if name.endswith("ches") else name.removesuffix("s")
    return f"{name}es" if name.endswith("ch") else f"{name}s"


def refuse_choices(choices: Mapping[str, Any], why: str) -> None:
    """Refuse keywords that were given where they mean nothing.

    Args:
        choices: Values by keyword; None where nothing was given.
        why: What they can't be chosen for.

    Raises:
        ParameterError: One was given.
    """
    if chosen := [name for name, value in choices.items() if value is not None]:
        raise ParameterError(f"{', '.join(chosen)} can't be chosen for {why}. Leave it out")

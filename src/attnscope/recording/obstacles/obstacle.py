"""A cause and a remedy, and names for what they speak of."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Obstacle:
    """Something that keeps attention from being seen.

    Attributes:
        cause: What it is: one clause, true of this very model.
        remedy: What to do, "" where the cause says it. Code stands between backticks, with `pipe` for the pipeline.
    """

    cause: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.cause}: {self.remedy}" if self.remedy else self.cause


def place_of(code: Any) -> str:
    """Where a function or the class of an object comes from: its file and line, or its module.

    Args:
        code: A function, a class or any object.
    """
    what = inspect.unwrap(code) if callable(code) else code
    what = what if inspect.isroutine(what) or inspect.isclass(what) else type(what)
    try:
        return f"{inspect.getsourcefile(what)}:{inspect.getsourcelines(what)[1]}"
    except (TypeError, OSError):  # built in, or typed into an interpreter
        return str(getattr(what, "__module__", None) or "built in")


def name_of(code: Any) -> str:
    """The name of a function, or of an object's class.

    Args:
        code: A function, a class or any object.
    """
    return getattr(code, "__qualname__", None) or type(code).__qualname__


def submodule(component: str, path: str) -> str:
    """An expression for a module of a pipeline.

    Args:
        component: The pipeline's attribute that holds the model.
        path: The module's path in it, "" for the model itself.
    """
    return f"pipe.{component}.get_submodule({path!r})" if path else f"pipe.{component}"

"""Which modules' outputs a capture is asked for, checked against its models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from attnscope.errors import ParameterError, SelectionError, nearest


def paths_of(outputs: Any) -> tuple[str, ...]:
    """Paths of modules, each once.

    Args:
        outputs: One path or several, as `attnscope.capture` takes them; None for none.

    Raises:
        ParameterError: It is something else.
    """
    several = () if outputs is None else (outputs,) if isinstance(outputs, str) else outputs
    try:
        paths = tuple(dict.fromkeys(several))
    except TypeError:
        paths = (outputs,)
    if wrong := [path for path in paths if not isinstance(path, str)]:
        raise ParameterError(
            f"outputs hold {wrong[0]!r}; expected paths of modules, as model.named_modules() has them, such as "
            "'mid_block.attentions.0'"
        )
    return paths


def modules_at(model: nn.Module, paths: Sequence[str]) -> dict[str, nn.Module]:
    """The modules of a model that are among some paths.

    Args:
        model: The model.
        paths: Paths of modules.
    """
    return {path: module for path, module in _submodules(model).items() if path in paths}


def check_outputs(models: Sequence[nn.Module], paths: Sequence[str]) -> None:
    """Refuse a path that none of the models has.

    Args:
        models: The models under capture.
        paths: Paths of modules.

    Raises:
        SelectionError: There is such a path.
    """
    known = dict.fromkeys(path for model in models for path in _submodules(model)) if paths else {}
    if unknown := [path for path in paths if path not in known]:
        names = " and ".join(dict.fromkeys(type(model).__name__ for model in models))
        raise SelectionError(
            f"outputs {unknown[0]!r}: {names} has no such module; the nearest: "
            f"{nearest(unknown[0], known, otherwise=list(known)[:3])}"
        )


def _submodules(model: nn.Module) -> dict[str, nn.Module]:
    """All but the model itself, whose output is its prediction; one that stands in two places by both paths."""
    return {path: module for path, module in model.named_modules(remove_duplicate=False) if path}

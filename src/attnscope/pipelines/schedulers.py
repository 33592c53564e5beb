"""Whether a scheduler can take a step: some values of its configuration fail only in the run."""

from __future__ import annotations

import ast
import inspect
import textwrap
import warnings
from typing import Any

import torch

from attnscope.errors import ModelError

OPTIONS = ("prediction_type", "timestep_spacing")


def check_scheduler(scheduler: Any) -> None:
    """Refuse a scheduler that would fail in a run for a word in its configuration.

    What its class compares with the configuration is read from its source; another word is refused if a step fails
    with it and does not with one of these.

    Args:
        scheduler: Of diffusers, or None.

    Raises:
        ModelError: The word and those that may stand in its place are named.
    """
    for option in OPTIONS:
        if option not in getattr(scheduler, "config", {}):
            continue
        said, known = scheduler.config[option], compared_words(type(scheduler), option)
        if said in known or not known or takes_a_step(scheduler):
            continue
        if any(takes_a_step(scheduler, **{option: word}) for word in known):
            raise ModelError(
                f"scheduler/scheduler_config.json says {option} {said!r:.100}; {type(scheduler).__name__} knows "
                f"{', '.join(map(repr, known))}: change it there, or copy the model again"
            )


def compared_words(kind: type, option: str) -> list[str]:
    """The words that a scheduler's class compares an option of its configuration with, in its source.

    Args:
        kind: A class of diffusers.
        option: Name of the option.
    """
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    comparisons = [node for node in ast.walk(tree) if isinstance(node, ast.Compare)]
    of_option = [node for node in comparisons if ast.unparse(node.left) == f"self.config.{option}"]
    inside = (node for comparison in of_option for node in ast.walk(comparison))
    words = (node.value for node in inside if isinstance(node, ast.Constant))
    return list(dict.fromkeys(word for word in words if isinstance(word, str)))


def takes_a_step(scheduler: Any, **changes: str) -> bool:
    """Whether a scheduler of this configuration takes the first of four steps, on a latent of zeros.

    Args:
        scheduler: The scheduler, which is left alone.
        changes: Options of its configuration that are others.
    """
    latent = torch.zeros(1, 4, 8, 8)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trial = type(scheduler).from_config(scheduler.config, **changes)
            trial.set_timesteps(4)
            trial.step(latent, trial.timesteps[0], latent)
    except Exception:  # whatever a scheduler raises at a word that it does not know
        return False
    return True

"""What is known of a run before it: configurations of models by name, and what a run is planned with."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from attnscope.errors import ModelError
from attnscope.records import Kind, Layer
from attnscope.records.layers import SizeHW

Config = Mapping[str, Any]
"""A model's configuration, as in its config.json."""
MAX_NUMBER = 10_000
"""Of blocks in a list, heads or channels of a head, in a configuration that anybody may have written."""


@dataclass(frozen=True)
class Known:
    """A model that is known by a name, without a file.

    Attributes:
        config: The options of its released config.json that decide its attention.
        hub: Hub ids of models that have it; the first stands for the name.
        pipeline: Class of its pipeline.
        others: Hub ids of models that differ from it by their pipeline alone, and its class.
    """

    config: Config
    hub: tuple[str, ...]
    pipeline: str = ""
    others: Mapping[str, str] = field(default_factory=dict)


class Setting(NamedTuple):
    """What a run is planned with.

    Attributes:
        config: The model's configuration.
        latent_hw: Height and width of the latent.
        tokens: Tokens of the whole text; None: as many as its pipeline takes.
        pipeline: Class of its pipeline, '' where that is not known.
        frames: Of a video: frames of the latent; None: as many as the pipeline makes.
    """

    config: Config
    latent_hw: SizeHW
    tokens: int | None = None
    pipeline: str = ""
    frames: int | None = None


class Planned(Protocol):
    """What a family tells of a run before it."""

    @property
    def known(self) -> Mapping[str, Known]:
        """Models of the family by name."""
        ...

    @property
    def pixels_per_latent(self) -> int:
        """Pixels along each side of a latent position, where no autoencoder tells."""
        ...

    def takes(self, config: Config) -> bool:
        """Whether a model with some configuration is of this family.

        Args:
            config: The contents of its config.json.
        """
        ...

    def closed_to_words(self, config: Config, kinds: Collection[Kind]) -> str:
        """Why keys of another text don't follow from what a trace holds, as a verb's phrase; '' if they do.

        Args:
            config: The model's configuration.
            kinds: Kinds of the attentions that are captured.
        """
        ...

    def native_latent(self, config: Config) -> SizeHW | None:
        """Height and width of the latent that a model was made for; None where its configuration does not say.

        Args:
            config: The model's configuration.
        """
        ...

    def patch(self, config: Config) -> int:
        """Both sides of a latent are a multiple of this.

        Args:
            config: The model's configuration.
        """
        ...

    def planned(self, setting: Setting) -> tuple[Layer, ...]:
        """The attentions of one call, for one row, in the order in which data passes them.

        Args:
            setting: What the run is planned with.
        """
        ...

    def calls(self, pipeline: str, guidance: bool | None) -> tuple[int, ...]:
        """Rows of one picture in each of the model's calls in a step.

        Args:
            pipeline: Class of the pipeline, '' where that is not known.
            guidance: Whether it guides; None: as it does where nothing is said.
        """
        ...


def number(config: Config, option: str, *, least: int = 1) -> int:
    """A whole number of a configuration.

    Args:
        config: The configuration.
        option: The option's name.
        least: The smallest that makes sense.

    Raises:
        ModelError: It lacks the option, or it is no such number.
    """
    if option not in config:
        raise ModelError(f"the configuration lacks {option}, a number; give the model's whole config.json")
    value = config[option]
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MAX_NUMBER:
        raise ModelError(
            f"the configuration has {option}={value!r}, expected a whole number from {least} to {MAX_NUMBER}"
        )
    return value


def both_sides(sample: object) -> SizeHW | None:
    """Height and width of a latent, from one number or two; None if it is neither.

    Args:
        sample: The option of the configuration.
    """
    sides = [sample, sample] if isinstance(sample, int) else sample
    if not isinstance(sides, (list, tuple)) or len(sides) != 2:
        return None
    height, width = sides
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


@contextmanager
def reading(what: str) -> Iterator[None]:
    """While a configuration is read that anybody may have written: what stumbles over it is one error.

    Args:
        what: What is read, such as 'the configuration of a Flux transformer'.

    Raises:
        ModelError: An option is missing, or has a value that makes no sense.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        if isinstance(error, ModelError):
            raise
        option = f"lacks {error}" if isinstance(error, KeyError) else f"makes no sense ({error})"
        raise ModelError(f"{what} {option}; give the model's whole config.json") from error


def unwrapped(model: Any) -> Any:
    """The model inside what torch.compile, DataParallel and PEFT make of it.

    Args:
        model: The model, or what was made of it.
    """
    inner = getattr(model, "_orig_mod", None) or (
        getattr(model, "module", None) if "Parallel" in type(model).__name__ else None
    )
    return inner or without_adapters(model)


def without_adapters(model: Any) -> Any:
    """The model inside what PEFT's `get_peft_model` makes of it; its LoRA's layers are in that.

    Args:
        model: The model, or what was made of it.
    """
    is_wrapped = any(parent.__name__ == "PeftModel" for parent in type(model).__mro__)
    return model.get_base_model() if is_wrapped else model

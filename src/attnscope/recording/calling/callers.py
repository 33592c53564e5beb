"""Which pipeline is calling: the object and the frame of its call, found up the stack."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any, NamedTuple

from torch import Tensor, nn

from attnscope.atlas.families import Attended, without_adapters
from attnscope.records.layers import SizeHW

_BETWEEN = ("torch.", "peft.", "attnscope.recording.")
_INNER = ("<listcomp>", "<genexpr>", "<dictcomp>", "<setcomp>")


@dataclass(frozen=True, eq=False)
class Caller:
    """A call of a pipeline that is under way.

    Attributes:
        pipeline: The pipeline.
        frame: The frame of the method that was called, such as `__call__` or `invert`. No two calls have the same.
        is_direct: Whether the pipeline's own code does what was asked about, and not a callback of somebody else.
    """

    pipeline: Any
    frame: FrameType
    is_direct: bool = True

    @property
    def method(self) -> str:
        """Name of the method that was called."""
        return self.frame.f_code.co_name

    @property
    def variables(self) -> Mapping[str, Any]:
        """The variables of the call at this moment. They are to be read at once and not kept."""
        return self.frame.f_locals


Batch = Tensor | Sequence[Tensor]
"""Rows in one tensor, or in a list with a tensor for each."""


class Asking(NamedTuple):
    """What a model is called with, and by whom.

    Attributes:
        sample: The noisy latent.
        timestep: A number or a tensor.
        conditioning: The text embeddings, None if there are none.
        caller: The call of a pipeline, None where the model is called by hand.
        attended: What the call attends over; None where feature maps tell.
    """

    sample: Batch
    timestep: Any
    conditioning: Batch | None
    caller: Caller | None
    attended: Attended | None = None

    @property
    def rows(self) -> int:
        """How many rows the batch has."""
        return len(self.sample)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one row of the noisy latent."""
        return tuple(self.sample[0].shape)

    @property
    def latent_hw(self) -> SizeHW:
        """Height and width of the latent."""
        height, width = self.shape[-2:] if self.attended is None else self.attended.latent_hw
        return height, width

    @property
    def size(self) -> tuple[int, ...]:
        """What all calls of a pass have alike, whatever rows they have."""
        return (*self.shape, *((*self.attended.grid, self.attended.frames) if self.attended else ()))

    @property
    def is_extra(self) -> bool:
        """Whether a callback calls the model in the middle of a pipeline's call."""
        return self.caller is not None and not self.caller.is_direct


def calling_pipeline(model: nn.Module) -> Caller | None:
    """The nearest call of a pipeline up the stack that holds the model.

    Args:
        model: The denoising model.

    Returns:
        The call, or None where other code calls the model.

    Cost: some ten microseconds.
    """
    return _caller(lambda owner: holds(owner, model))


def call_of(pipeline: Any) -> Caller | None:
    """The call of this pipeline up the stack.

    Args:
        pipeline: The pipeline.

    Returns:
        The call, or None where somebody calls a part of the pipeline by hand.
    """
    return _caller(lambda owner: owner is pipeline)


def holds(owner: Any, model: nn.Module) -> bool:
    """Whether an object that is no module has the model as an attribute, as a pipeline has.

    Args:
        owner: Any object.
        model: The model.
    """
    if isinstance(owner, nn.Module):
        return False
    return any(without_adapters(value) is model for value in getattr(owner, "__dict__", {}).values())


def _caller(is_it: Callable[[Any], bool]) -> Caller | None:
    found: Any = None
    entry: FrameType | None = None
    nearest: FrameType | None = None
    for frame in _stack():
        if frame.f_code.co_name in _INNER:
            continue
        nearest = nearest or frame
        owner = _self(frame) if _may_be_entry(frame) else None
        if owner is not None and (owner is found or (found is None and is_it(owner))):
            found, entry = owner, frame
            if frame.f_code.co_name == "__call__":
                break
        elif found is not None:
            break
    if entry is None or nearest is None:
        return None
    return Caller(found, entry, _is_own(nearest, found, entry))


def _stack() -> Iterator[FrameType]:
    """The frames of code that is neither torch's, nor a wrapper's, nor this package's, from the innermost."""
    for frame in _up(sys._getframe(1)):
        if not frame.f_globals.get("__name__", "").startswith(_BETWEEN):
            yield frame


def _may_be_entry(frame: FrameType) -> bool:
    return frame.f_code.co_name == "__call__" or frame.f_globals.get("__name__", "").startswith("diffusers.")


def _self(frame: FrameType) -> Any:
    return frame.f_locals.get("self") if frame.f_code.co_varnames[:1] == ("self",) else None


def _is_own(frame: FrameType, pipeline: Any, entry: FrameType) -> bool:
    """Whether a frame is a method of the pipeline, or a function inside one of diffusers' own."""
    if frame is entry or _self(frame) is pipeline:
        return True
    is_library = entry.f_globals.get("__name__", "").startswith("diffusers.")
    return is_library and frame.f_globals is entry.f_globals


def defining_class(caller: Caller) -> str:
    """The class whose method runs, with the method's name unless that is `__call__`; '' outside diffusers.

    Args:
        caller: The call.
    """
    code, module = caller.frame.f_code, caller.frame.f_globals.get("__name__")
    having = [
        cls
        for cls in type(caller.pipeline).__mro__
        if caller.method in vars(cls) and cls.__module__.startswith("diffusers.")
    ]
    running = [cls for cls in having if code in _codes(vars(cls)[caller.method])]
    replaced = [cls for cls in having if cls.__module__ == module]  # by what does not tell what it wraps
    if not running and len(replaced) != 1:
        return ""
    name = (running or replaced)[0].__name__
    return name if caller.method == "__call__" else f"{name}.{caller.method}"


def _codes(method: Any) -> Iterator[Any]:
    """Code of a method and of all that it wraps, such as what runs under `torch.no_grad()`."""
    while method is not None:
        yield getattr(method, "__code__", None)
        method = getattr(method, "__wrapped__", None)


def running_frames() -> set[FrameType]:
    """Every frame of every thread that is running."""
    return {frame for innermost in sys._current_frames().values() for frame in _up(innermost)}


def calls_in_threads(threads: Collection[int | None], pipelines: Sequence[Any]) -> list[FrameType]:
    """Frames of calls of some pipelines that are under way in other threads.

    Args:
        threads: Numbers of the threads.
        pipelines: The pipelines.
    """
    return [
        frame
        for thread, innermost in sys._current_frames().items()
        if thread in threads
        for frame in _up(innermost)
        if _may_be_entry(frame) and any(_self(frame) is pipeline for pipeline in pipelines)
    ]


def _up(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back

"""What a word did: the run of a trace repeated from its seed without the word, and with more of it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Integer

from attnscope.editing.context import edit
from attnscope.editing.edits import Ablate, Edit, Reweight
from attnscope.errors import AttnscopeError, RepeatError
from attnscope.explaining.landing import labels_at
from attnscope.explaining.usual import READERS
from attnscope.heatmap.result import HeatMap
from attnscope.recording.calling.provenance import model_and_revision
from attnscope.recording.calling.twin import twin_of
from attnscope.recording.planning.modules import model_of
from attnscope.trace.trace import Trace

if TYPE_CHECKING:
    from PIL.Image import Image

_CANT, _WITHOUT = "the run can't be repeated", "; leave the pipeline out to do without"
BOOST = 2.0
"""What attention to a word is multiplied with to see more of it."""
SAME = 1.0
"""Levels of 255 that two pictures may differ by on average and still be called the same run."""


@dataclass(frozen=True, eq=False)
class Effect:
    """What an edit of a word changed in the picture. Differences are of 255 levels, the mean over red, green and blue.

    Attributes:
        word: The word.
        edit: What was done, as it is written: "Ablate('sun')".
        picture: What the run makes with it.
        difference: At each pixel.
        mean: Over the picture.
        on_the_word: Where the word's map is at least 0.4 of its peak; None where the word got no attention.
        elsewhere: In the rest of the picture; None where there is no rest.
        by_segment: In each segment, by its number; empty where there are no segments.
    """

    word: str
    edit: str
    picture: Image = field(repr=False)
    difference: Float[np.ndarray, "height width"] = field(repr=False)
    mean: float
    on_the_word: float | None
    elsewhere: float | None
    by_segment: dict[int, float]

    @property
    def caption(self) -> str:
        """What was done, for people."""
        is_less = self.edit.startswith("Ablate")
        return f"without {self.word!r}" if is_less else f"attention to {self.word!r} times {BOOST:g}"

    def to_dict(self) -> dict[str, Any]:
        """Everything but the pixels, as plain values for JSON."""
        return {
            "edit": self.edit,
            "mean": self.mean,
            "on_the_word": self.on_the_word,
            "elsewhere": self.elsewhere,
            "by_segment": {str(number): mean for number, mean in self.by_segment.items()},
        }


class Repetition:
    """The run of a trace, made again with a pipeline, and compared with the picture that it made.

    Args:
        trace: Of one pass.
        pipe: The pipeline that made it, or one like it. It is left as it was.
        image: Which picture of the batch is meant.
        options: Further arguments of the pipeline's call, which the run had and a trace does not hold.

    Raises:
        RepeatError: The run can't be repeated, or repeating it gave another picture.

    Cost: a run of the pipeline, and one more for each edit.
    """

    def __init__(
        self, trace: Trace, pipe: Any, image: int = 0, options: Mapping[str, Any] | None = None
    ) -> None:
        self._options = dict(options or {})
        if obstacle := next(obstacles(trace, pipe, image, self._options), None):
            raise RepeatError(f"{_CANT}: {obstacle}{_WITHOUT}")
        self._trace, self._image = trace, image
        self._pipe = twin_of(pipe)
        self.differs = 0.0
        """Levels of 255 between the repeated picture and the trace's, on average."""
        self.picture = self._repeated()

    def _repeated(self) -> Image:
        """The run again, with the noise of whichever device gives the picture of the trace."""
        before = self._trace.picture_of(self._image)
        assert before is not None
        differences = []
        for device in dict.fromkeys(("cpu", _device_type(self._pipe))):
            self._device = device
            picture = self.run()
            differences.append(
                float(difference_of(before, picture).mean()) if before.size == picture.size else 255.0
            )
            if differences[-1] <= SAME:
                self.differs = differences[-1]
                return picture
        raise RepeatError(
            f"{_CANT}: made again from seed {self._trace.run.seed} its picture differs by "
            f"{min(differences):.1f} of 255 levels on average, so the run used something that a trace does "
            "not hold (other weights, LoRAs, a callback, latents, several generators); give arguments of "
            f"its call, such as eta, as options={{'eta': 0.5}}{_WITHOUT}"
        )

    def run(self, *edits: Edit) -> Image:
        """The picture of the run.

        Args:
            edits: What is to be changed of its attention.
        """
        arguments = arguments_of(self._trace, self._pipe) | self._options
        arguments["generator"] = torch.Generator(self._device).manual_seed(self._trace.run.seed or 0)
        with edit(self._pipe, *edits) if edits else nullcontext():
            return self._called(arguments)

    def _called(self, arguments: dict[str, Any]) -> Image:
        try:
            return self._pipe(**arguments).images[self._image]
        except AttnscopeError:
            raise
        except Exception as error:  # whatever the pipeline misses: a trace does not hold it
            said = str(error) or type(error).__name__
            raise RepeatError(
                f"{_CANT}: {type(self._pipe).__name__} says {said!r} when it is called with what the trace "
                f"knows ({', '.join(arguments)}); give what is missing as options={{...}}{_WITHOUT}"
            ) from error

    def effects(
        self, heat: HeatMap, tokens: Sequence[int], labels: Integer[np.ndarray, "h w"] | None
    ) -> tuple[Effect, Effect]:
        """What the picture is without a word, and with twice the attention to it.

        Args:
            heat: The word's map.
            tokens: Numbers of its tokens.
            labels: The segment of every pixel, None without segments.
        """
        columns = list(tokens)
        without = self.run(Ablate(columns, image=self._image))
        more = self.run(Reweight(columns, BOOST, image=self._image))
        return (
            effect_of(f"Ablate({heat.word!r})", self.picture, without, heat, labels),
            effect_of(f"Reweight({heat.word!r}, {BOOST:g})", self.picture, more, heat, labels),
        )


def effect_of(said: str, before: Image, after: Image, heat: HeatMap, labels: np.ndarray | None) -> Effect:
    """What an edit changed.

    Args:
        said: The edit, as it is written.
        before: The picture without it.
        after: The picture with it.
        heat: The word's map.
        labels: The segments' numbers; None without segments.
    """
    difference, top = difference_of(before, after), heat.array.max()
    own = (heat.resized(difference.shape) >= 0.4 * top) & (top > 0)
    return Effect(
        heat.word,
        said,
        after,
        difference,
        float(difference.mean()),
        float(difference[own].mean()) if own.any() else None,
        None if own.all() else float(difference[~own].mean()),
        {} if labels is None else _by_segment(difference, labels_at(labels, difference.shape)),
    )


def obstacles(trace: Trace, pipe: Any, image: int, options: Mapping[str, Any] | None = None) -> Iterator[str]:
    """Why a run can't be repeated with a pipeline, and what would help.

    Args:
        trace: Of one pass.
        pipe: The pipeline.
        image: Number of the image in the batch.
        options: Further arguments of the pipeline's call.
    """
    run, name = trace.run, type(pipe).__name__
    if run.pipeline in READERS:
        yield "the trace is not of a pipeline's call that made a picture, but of a photo or of the model alone"
        return
    if run.pipeline != name:
        yield f"the trace is of a {run.pipeline} and the pipeline is a {name}; load it as {run.pipeline}"
    if run.frames > 1:
        yield "it made a video, whose attention is not edited yet"
    if run.edits:
        yield f"its attention was edited ({', '.join(run.edits)}), and a trace does not hold how; capture one without"
    if run.seed is None:
        yield "it had no seed; run it with generator=torch.Generator().manual_seed(0)"
    if not run.prompts:
        yield "it got embeddings, whose text is unknown"
    if run.planned_steps is None:
        yield "the number of its steps is unknown"
    if trace.picture_of(image) is None:
        yield "the trace holds no picture to compare with; capture around the whole call, with output_type='pil'"
    yield from _other_models(trace, pipe)
    yield from _lacking_arguments(trace, pipe, options or {})


def _other_models(trace: Trace, pipe: Any) -> Iterator[str]:
    run = trace.run
    component = model_of(pipe)[0].component
    model, revision = model_and_revision(pipe, component)
    if run.model and model and run.model != model:
        yield f"the trace is of the model {run.model!r} and the pipeline has {model!r}"
    if run.revision and revision and run.revision != revision:
        yield f"the trace is of revision {run.revision} of the model and the pipeline has {revision}"
    scheduler = type(getattr(pipe, "scheduler", None)).__name__
    if run.scheduler is not None and run.scheduler != scheduler:
        yield (
            f"the trace was made with {run.scheduler} and the pipeline has {scheduler}; "
            f"pipe.scheduler = diffusers.{run.scheduler}.from_config(pipe.scheduler.config)"
        )


def _lacking_arguments(trace: Trace, pipe: Any, options: Mapping[str, Any]) -> Iterator[str]:
    takes, name = inspect.signature(pipe.__call__).parameters, type(pipe).__name__
    if missing := {"prompt", "num_inference_steps", "generator"} - set(takes):
        yield f"{name} takes no {', '.join(sorted(missing))}"
    known = {*arguments_of(trace, pipe), *options, "generator"}
    plain = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    needed = [each.name for each in takes.values() if each.kind in plain and each.default is each.empty]
    if lacking := [each for each in needed if each not in known]:
        listed = ", ".join(lacking)
        yield f"{name} needs {listed}, which a trace does not hold; give it as options={{{lacking[0]!r}: ...}}"


def arguments_of(trace: Trace, pipe: Any) -> dict[str, Any]:
    """What a pipeline's call got, as far as a trace knows, without the generator.

    Args:
        trace: Of one pass.
        pipe: The pipeline.
    """
    run, takes = trace.run, inspect.signature(pipe.__call__).parameters
    height, width = run.image_size_hw or (None, None)
    known: dict[str, Any] = {
        "prompt": _texts(run.prompts),
        "negative_prompt": _texts(run.negative_prompts) if any(run.negative_prompts) else None,
        "prompt_2": _texts(run.second_prompts) if any(run.second_prompts) else None,
        "negative_prompt_2": _texts(run.second_negative_prompts)
        if any(run.second_negative_prompts)
        else None,
        "num_inference_steps": run.planned_steps,
        "guidance_scale": run.guidance_scale,
        "height": height,
        "width": width,
        "use_resolution_binning": False,
    }
    return {name: value for name, value in known.items() if value is not None and name in takes}


def difference_of(one: Image, other: Image) -> Float[np.ndarray, "height width"]:
    """The difference of two pictures of one size at each pixel, in levels of 255: the mean over red, green and blue.

    Args:
        one: A picture.
        other: Another one.
    """
    first, second = (np.asarray(picture.convert("RGB"), np.float32) for picture in (one, other))
    return np.abs(first - second).mean(-1)


def _texts(texts: Sequence[str]) -> str | list[str]:
    return texts[0] if len(texts) == 1 else list(texts)


def _by_segment(difference: np.ndarray, labels: np.ndarray) -> dict[int, float]:
    return {int(number): float(difference[labels == number].mean()) for number in np.unique(labels)}


def _device_type(pipe: Any) -> str:
    return str(getattr(pipe, "device", torch.device("cpu")).type)

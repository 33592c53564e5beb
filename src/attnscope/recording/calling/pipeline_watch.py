"""What a pipeline's own call tells of the run: prompts, conditions, seed, scheduler, pictures.

Watchers are put on methods of one pipeline object and taken off again; no class is touched.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attnscope.atlas.families import Family
from attnscope.recording.calling.callers import Asking, Caller, call_of, running_frames
from attnscope.recording.calling.known_rows import calls_once, reads_its_prompt
from attnscope.recording.calling.named_arguments import NamedArguments
from attnscope.recording.calling.picture_size import frames_shown, size_of_pictures
from attnscope.recording.calling.pipeline_call import PipelineCall
from attnscope.recording.calling.prompts import Prompts
from attnscope.recording.calling.provenance import model_and_revision, versions
from attnscope.recording.calling.text_parts import read_text_parts
from attnscope.recording.calling.told import Told
from attnscope.recording.tapping.watching import WatchedMethod
from attnscope.records import Row, Run

_ORDER = itertools.count(1)
_COPIES = re.compile(r"num_\w+_per_prompt")


class PipelineWatch:
    """Knows which call of a pipeline is under way, or was the last one.

    Args:
        pipeline: The pipeline.
        family: The family of its denoising model.
        told: What the user says of embeddings from elsewhere.
        missed: Frame of a call that is under way already.
    """

    def __init__(
        self,
        pipeline: Any,
        family: Family,
        told: Told = Told(),  # noqa: B008
        *,
        missed: FrameType | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.prompts = Prompts(pipeline, told)
        self._missed = missed
        self.began = 0
        """The number of its last call among those of all pipelines, 0 before the first."""
        self._family = family
        self._watched: list[WatchedMethod] = []
        self.call = PipelineCall(self._new_run())
        """The call under way, or the last one."""
        self._calls = [self.call]

    def _new_run(self) -> Run:
        name, revision = model_and_revision(self.pipeline, self._family.component)
        return Run(model=name, revision=revision, pipeline=type(self.pipeline).__name__, versions=versions())

    def renewed(self) -> PipelineWatch:
        """A watch of the same pipeline that has seen nothing."""
        return PipelineWatch(self.pipeline, self._family, self.prompts.told)

    def attach(self, takes: Callable[[FrameType | None], bool]) -> None:
        """Put watchers on the methods of this one pipeline object.

        Args:
            takes: Whether the call with this frame, None by hand, is followed. Others pass by.
        """
        self._takes = takes
        self.prompts.attach(self._is_followed)
        if hasattr(self.pipeline, "encode_prompt"):
            self._watch(self.pipeline, "encode_prompt", self._encoded)
        else:
            self._watch(self.pipeline, "_encode_prompt", self._encoded_in_private)
        self._watch(self.pipeline, "prepare_latents", _note_seed)
        self._watch(getattr(self.pipeline, "image_processor", None), "postprocess", _note_pictures)
        if self._family.pipelines:  # a latent of a video U-Net has as many frames as the video
            note = partial(_note_videos, self.pipeline)
            self._watch(getattr(self.pipeline, "video_processor", None), "postprocess_video", note)

    def detach(self) -> None:
        """Take the watchers off again."""
        self.prompts.detach()
        while self._watched:
            self._watched.pop().take_off()
        for call in self._calls:
            call.frame = self._missed = None  # it holds all variables of a call that is over

    def forget(self, frame: FrameType) -> None:
        """A call that was followed is another thread's.

        Args:
            frame: Its frame.
        """
        self._calls = [call for call in self._calls if call.frame is not frame]
        self._calls = self._calls or [PipelineCall(self._new_run())]
        self.call = self._calls[-1]

    def _is_followed(self) -> bool:
        caller = call_of(self.pipeline)
        return self._takes(None if caller is None else caller.frame)

    def enter(self, frame: FrameType | None) -> PipelineCall:
        """Turn to the call that is under way here; a new one begins where the frame is new.

        Args:
            frame: Frame of the call, None for what is done by hand.
        """
        calls = self._calls[-1:] if frame is None else self._calls  # by hand, only the last one may go on
        known = (call for call in calls if call.frame is frame)
        self.call = next(known, None) or self._begin(frame)
        return self.call

    def model_runs(self) -> None:
        """The model runs for the first time in this call: read what the pipeline has set by now."""
        self.call.has_run = True
        scheduler = self.scheduler
        self.call.run.scheduler = type(scheduler).__name__ if scheduler is not None else None
        if self.call.frame is None:
            return
        variables = self.call.frame.f_locals
        scale = getattr(self.pipeline, "_guidance_scale", None)
        self.call.run.guidance_scale = _number(variables.get("guidance_scale", scale))
        timesteps = variables.get("timesteps")
        if calls_once(Caller(self.pipeline, self.call.frame)):
            self.call.run.planned_steps = 1
        elif isinstance(timesteps, (Tensor, list, np.ndarray)):
            self.call.run.planned_steps = len(timesteps)
        elif self.call.is_seen:
            self.call.run.planned_steps = getattr(self.pipeline, "_num_timesteps", None)

    @property
    def scheduler(self) -> Any:
        """The pipeline's scheduler, None if it has none."""
        return getattr(self.pipeline, "scheduler", None)

    def _begin(self, frame: FrameType | None) -> PipelineCall:
        """A call begins. If the model has not run since the last one, that failed, or was only a part of it."""
        self.began = next(_ORDER)
        run, last = self._new_run(), self._calls[-1]
        if not last.has_run:
            vars(last.run).update(vars(run))
            run = last.run
            self._calls.remove(last)
        alive = running_frames()
        for call in self._calls:
            call.frame = call.frame if call.frame in alive else None
        self._calls.append(PipelineCall(run, frame))
        return self._calls[-1]

    def _watch(
        self, owner: Any, name: str, after: Callable[[PipelineCall, dict[str, Any], Any], None]
    ) -> None:
        method = getattr(owner, name, None)
        if method is None or not hasattr(owner, "__dict__"):
            return
        named = NamedArguments(owner, name)

        def watched(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            self._is_followed()  # from here on; its text encoders are run now
            result = original(*args, **kwargs)
            caller = call_of(self.pipeline)
            frame = None if caller is None else caller.frame
            if self._takes(frame):
                after(self.enter(frame), named.read(args, kwargs, defaults=True), result)
            return result

        self._watched.append(WatchedMethod(owner, name, watched))

    def _encoded(self, call: PipelineCall, arguments: dict[str, Any], result: Any) -> None:
        if call.has_run and call.frame is None:
            call = self.call = self._begin(None)
        call.is_seen |= not call.has_run
        if call.has_run or self._family.pipelines:
            return  # a callback encodes something, or the model's conditioning tells what was encoded
        positive, negative = (*result, None)[:2] if isinstance(result, tuple) else (result, None)
        if not isinstance(positive, Tensor):
            return
        is_second = bool(call.conditions)
        call.is_unclear = is_second or not _is_a_pair(arguments, positive, negative)
        call.conditions = [("uncond", negative)] if isinstance(negative, Tensor) else []
        call.conditions.append(("cond", positive))
        if not is_second:
            negative_keys = negative.shape[1] if isinstance(negative, Tensor) else None
            self._read_prompts(call.run, arguments, len(positive), positive.shape[1], negative_keys)

    def overhear(self, asked: Asking, rows: Sequence[Row]) -> None:
        """Take the prompts from the variables of a call that encoded them unseen.

        Args:
            asked: What the model is called with.
            rows: The rows of its batch.
        """
        if asked.caller is None or asked.conditioning is None:
            return
        if asked.attended is not None:
            read_text_parts(self.prompts, self.call, self._family.texts, asked, rows)
            return
        if self.call.run.prompts or not isinstance(asked.conditioning, Tensor):
            return
        if asked.caller.frame is not self._missed and not reads_its_prompt(asked.caller):
            return
        self._missed = None
        if _texts(asked.caller.variables):
            images, keys = sum(row.branch == "cond" for row in rows), asked.conditioning.shape[1]
            negative_keys = keys if any(row.branch == "uncond" for row in rows) else None
            self._read_prompts(self.call.run, asked.caller.variables, images, keys, negative_keys)

    def _encoded_in_private(self, call: PipelineCall, arguments: dict[str, Any], result: Any) -> None:
        """What is encoded in private comes with all branches in one tensor; `known_rows` knows how."""
        texts = _texts(arguments)
        if texts and not call.has_run:
            call.is_seen = True
            copies = int(arguments.get("num_images_per_prompt") or 1)
            encoded = result[1] if isinstance(result, tuple) else result
            keys = encoded.shape[1]
            negative_keys = keys if arguments.get("do_classifier_free_guidance") else None
            self._read_prompts(call.run, arguments, len(texts) * copies, keys, negative_keys)

    def _read_prompts(
        self, run: Run, arguments: Mapping[str, Any], images: int, keys: int, negative_keys: int | None
    ) -> None:
        self.prompts.read(run, arguments, images=images, keys=keys, negative_keys=negative_keys)


def _note_seed(call: PipelineCall, arguments: dict[str, Any], result: Any) -> None:
    call.is_seen = True
    generator = arguments.get("generator")
    first: Any = generator[0] if isinstance(generator, (list, tuple)) and generator else generator
    if isinstance(first, torch.Generator):
        call.run.seed = first.initial_seed()


def _note_pictures(call: PipelineCall, arguments: dict[str, Any], result: Any) -> None:
    if isinstance(result, list) and all(hasattr(picture, "convert") for picture in result):
        call.run.pictures = list(result)
    size = size_of_pictures(result, arguments.get("output_type"))
    if size is not None:  # a panorama's latent is one of its views
        call.run.image_size_hw = size


def _note_videos(pipeline: Any, call: PipelineCall, arguments: dict[str, Any], result: Any) -> None:
    """Each frame of a latent is an image, whose picture is one frame of the video."""
    size = size_of_pictures(result[0], arguments.get("output_type"))
    if size is not None:
        call.run.image_size_hw = size
    if not all(isinstance(video, list) for video in result):
        return
    shown = [frames_shown(pipeline, call.run.frames, len(video)) for video in result]
    if all(shown):
        pairs = zip(result, shown, strict=True)
        call.run.pictures = [video[frame] for video, frames in pairs for frame in frames]


def _texts(arguments: Mapping[str, Any]) -> list[str]:
    """The prompts, where they are text."""
    prompt = arguments.get("prompt")
    texts: list[Any] = prompt if isinstance(prompt, list) else [prompt]
    return texts if all(isinstance(text, str) for text in texts) else []


def _is_a_pair(arguments: dict[str, Any], positive: Tensor, negative: Any) -> bool:
    """Whether a pipeline encoded one condition an image, and a negative one for each or none."""
    if isinstance(negative, Tensor) and negative.shape != positive.shape:
        return False
    prompt = arguments.get("prompt")
    if prompt is None:
        return "prompts" not in arguments
    copies = next((int(arguments[name] or 1) for name in arguments if _COPIES.fullmatch(name)), 1)
    texts = 1 if isinstance(prompt, str) else len(prompt)
    return len(positive) == texts * copies


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None

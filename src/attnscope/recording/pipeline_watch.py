"""What a pipeline's own call tells of the run: prompts, conditions, seed, scheduler, pictures.

Watchers are put on methods of one pipeline object and taken off again; no class is touched.
"""

from __future__ import annotations

import functools
import importlib.metadata
import inspect
import itertools
import platform
import re
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attnscope._version import __version__
from attnscope.atlas import DEMO_FOLDER
from attnscope.recording.prompts import Prompts, Told
from attnscope.recording.watching import WatchedMethod
from attnscope.records import Run

_PACKAGES = ("torch", "diffusers", "transformers", "safetensors", "numpy")


_ORDER = itertools.count(1)
BEGINNINGS = ("check_inputs", "encode_prompt", "prepare_latents")
"""Methods that a pipeline calls before its model runs, in their order: the first one that it has begins a call."""


@dataclass
class PipelineCall:
    """What is known of one call of a pipeline, filled as it goes.

    Attributes:
        run: Model, prompts, seed, pictures ...
        conditions: Branch names, each with what was encoded for it, (image, token, channel).
        is_seen: Whether the pipeline has encoded a prompt or prepared latents.
        is_unclear: It has encoded more than one prompt, so a row's embedding does not tell its branch.
        has_run: Whether the model has run.
        is_whole: No other run shares its steps.
    """

    run: Run
    conditions: list[tuple[str, Tensor]] = field(default_factory=list)
    is_seen: bool = False
    is_unclear: bool = False
    has_run: bool = False
    is_whole: bool = True

    def resized(self) -> PipelineCall:
        """The same call, going on with a latent of another size: its prompts stay, its steps are shared."""
        return replace(self, run=copy(self.run), is_whole=False)


class PipelineWatch:
    """Knows which call of a pipeline is under way, or was the last one.

    Args:
        pipeline: The pipeline.
        component: Name of its denoising model, such as 'unet'.
        told: What the user says of embeddings from elsewhere.
    """

    def __init__(self, pipeline: Any, component: str, told: Told = Told()) -> None:  # noqa: B008
        self.pipeline = pipeline
        self.prompts = Prompts(pipeline, told)
        self.began = 0
        """The number of its last call among those of all pipelines, 0 before the first."""
        self._component = component
        self._watched: list[WatchedMethod] = []
        self.call = PipelineCall(self._new_run())

    def _new_run(self) -> Run:
        name, revision = _model_and_revision(self.pipeline, self._component)
        return Run(model=name, revision=revision, pipeline=type(self.pipeline).__name__, versions=versions())

    def renewed(self) -> PipelineWatch:
        """A watch of the same pipeline that has seen nothing."""
        return PipelineWatch(self.pipeline, self._component, self.prompts.told)

    def attach(self) -> None:
        """Put watchers on the methods of this one pipeline object."""
        first = next((name for name in BEGINNINGS if hasattr(self.pipeline, name)), None)
        if first is not None:
            self._watch(self.pipeline, first, before=self._begin)
        self.prompts.attach()
        self._watch(self.pipeline, "encode_prompt", after=self._encoded)
        self._watch(self.pipeline, "prepare_latents", after=self._latents)
        self._watch(getattr(self.pipeline, "image_processor", None), "postprocess", after=self._pictures)

    def detach(self) -> None:
        """Take the watchers off again."""
        self.prompts.detach()
        while self._watched:
            self._watched.pop().take_off()

    def model_runs(self) -> None:
        """The model runs for the first time in this call: read what the pipeline has set by now."""
        self.call.has_run = True
        scheduler = self.scheduler
        self.call.run.scheduler = type(scheduler).__name__ if scheduler is not None else None
        if self.call.is_seen:
            self.call.run.guidance_scale = _number(getattr(self.pipeline, "_guidance_scale", None))
            self.call.run.planned_steps = getattr(self.pipeline, "_num_timesteps", None)

    @property
    def scheduler(self) -> Any:
        """The pipeline's scheduler, None if it has none."""
        return getattr(self.pipeline, "scheduler", None)

    @property
    def guided(self) -> bool:
        """Whether the call under way uses classifier-free guidance."""
        return self.call.is_seen and bool(getattr(self.pipeline, "do_classifier_free_guidance", False))

    def _begin(self) -> None:
        """The pipeline is called. If the model has not run since the last call, the user only called a part of it."""
        self.began = next(_ORDER)
        run = self._new_run()
        if not self.call.has_run:  # an earlier call failed before its model ran: the run is this one's
            vars(self.call.run).update(vars(run))
            run = self.call.run
        self.call = PipelineCall(run)

    def _watch(
        self,
        owner: Any,
        name: str,
        *,
        before: Callable[[], None] | None = None,
        after: Callable[[dict[str, Any], Any], None] | None = None,
    ) -> None:
        original = getattr(owner, name, None)
        if original is None or not hasattr(owner, "__dict__"):
            return
        signature = inspect.signature(original)

        def watched(*args: Any, **kwargs: Any) -> Any:
            if before is not None:
                before()
            result = original(*args, **kwargs)
            if after is not None:
                arguments = signature.bind(*args, **kwargs)
                arguments.apply_defaults()
                after(dict(arguments.arguments), result)
            return result

        self._watched.append(WatchedMethod(owner, name, watched))

    def _encoded(self, arguments: dict[str, Any], result: Any) -> None:
        if self.call.has_run:
            return  # a callback encodes something; the call's own prompt is known already
        self.call.is_unclear = bool(self.call.conditions)
        positive, negative = (*result, None)[:2] if isinstance(result, tuple) else (result, None)
        self.call.is_seen = True
        self.call.conditions = [("uncond", negative)] if isinstance(negative, Tensor) else []
        self.call.conditions.append(("cond", positive))
        negative_keys = negative.shape[1] if isinstance(negative, Tensor) else None
        self.prompts.read(
            self.call.run,
            arguments,
            images=len(positive),
            keys=positive.shape[1],
            negative_keys=negative_keys,
        )

    def _latents(self, arguments: dict[str, Any], result: Any) -> None:
        self.call.is_seen = True
        generator = arguments.get("generator")
        first: Any = generator[0] if isinstance(generator, (list, tuple)) and generator else generator
        if isinstance(first, torch.Generator):
            self.call.run.seed = first.initial_seed()

    def _pictures(self, arguments: dict[str, Any], result: Any) -> None:
        if isinstance(result, list) and all(hasattr(picture, "convert") for picture in result):
            self.call.run.pictures = list(result)
            if result:  # a panorama's latent is one of its views
                self.call.run.image_size_hw = (result[0].height, result[0].width)


@functools.cache
def _versions() -> tuple[tuple[str, str], ...]:
    version_of = {"python": platform.python_version(), "attnscope": __version__}
    for package in _PACKAGES:
        try:
            version_of[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return tuple(version_of.items())


def versions() -> dict[str, str]:
    """Versions of Python, attnscope and the libraries that decide what a run computes."""
    return dict(_versions())


def _model_and_revision(pipeline: Any, component: str) -> tuple[str | None, str | None]:
    """Hub id or path, and the commit of the hub's snapshot; None for what is unknown."""
    name = getattr(pipeline, "name_or_path", None) or None
    source = str(getattr(getattr(getattr(pipeline, component), "config", None), "_name_or_path", ""))
    snapshot = re.search(r"snapshots[/\\]([0-9a-f]{40})", f"{name} {source}")
    if name is not None and Path(name) == DEMO_FOLDER:
        name = "demo"
    return name, snapshot.group(1) if snapshot else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None

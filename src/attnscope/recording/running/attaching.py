"""Which models are watched, and what is put on them for that."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from torch import nn

from attnscope.atlas.families import Family
from attnscope.errors import CaptureError
from attnscope.recording.calling.named_arguments import NamedArguments
from attnscope.recording.calling.pipeline_watch import PipelineWatch
from attnscope.recording.calling.told import Told, check_told
from attnscope.recording.planning.modules import TappedLayer, models_of
from attnscope.recording.planning.plan import Plan
from attnscope.recording.running.passes import Passes
from attnscope.recording.running.watched_model import Model
from attnscope.recording.tapping.tap import Tap, TapPlan
from attnscope.recording.tapping.watching import Hook, WatchedMethod


def watched_models(model: Any, plan_of: Callable[[Family, nn.Module], Plan], told: Told) -> list[Model]:
    """Each model once, with all its pipelines.

    Args:
        model: A pipeline, a model, or several.
        plan_of: What is asked of a model, checked against it.
        told: What the user says of texts.

    Raises:
        CaptureError: There is none, or it can't be watched.
    """
    several = list(model) if isinstance(model, (list, tuple)) else [model]
    if not several:
        raise CaptureError("nothing to capture: expected a pipeline, a U-Net, or several of them")
    watches: dict[int, list[PipelineWatch]] = {}
    plans: dict[int, Plan] = {}
    for pipe_or_model in several:
        for family, module in models_of(pipe_or_model):
            of_model = watches.setdefault(id(module), [])
            if pipe_or_model is not module and all(watch.pipeline is not pipe_or_model for watch in of_model):
                of_model.append(PipelineWatch(pipe_or_model, family, told))
            if id(module) not in plans:
                plans[id(module)] = plan_of(family, module)
    check_told(told, has_pipeline=any(watches.values()))
    return [Model(plan, watches[number]) for number, plan in plans.items()]


def attach(
    model: Model, passes: Passes, leaving: ExitStack, plan_of: Callable[[TappedLayer, int], TapPlan]
) -> None:
    """Put on a model what sees its runs, and note how each piece is taken off.

    Args:
        model: The model.
        passes: Are told of its calls.
        leaving: Takes everything off, each piece whatever another one raises.
        plan_of: What is done with the attention of a layer; gets its place in the order, too.
    """
    leaving.callback(model.detach)
    model.attach(passes.following.takes)
    plan, module = model.plan, model.module

    def begin(module: nn.Module, args: tuple, kwargs: dict) -> None:
        passes.begin_call(model, args, kwargs)

    def end(module: nn.Module, args: tuple, output: Any) -> None:
        passes.end_call()

    leaving.callback(module.register_forward_pre_hook(Hook(begin), with_kwargs=True).remove)
    leaving.callback(module.register_forward_hook(Hook(end)).remove)
    for path in {tapped.map_owner for tapped in plan.layers if tapped.map_owner}:
        noter = Hook(_map_noter(passes, path))
        owner = module.get_submodule(path)
        leaving.callback(owner.register_forward_pre_hook(noter, with_kwargs=True).remove)
    for tapped in plan.layers if plan.asked.open_words else ():
        noter = Hook(_state_noter(passes, tapped.path))
        leaving.callback(tapped.module.register_forward_pre_hook(noter, with_kwargs=True).remove)
    for path, watched in plan.outputs.items():
        taker = Hook(_output_taker(passes, plan, path))
        leaving.callback(watched.register_forward_hook(taker).remove)
    if plan.asked.watches_steps:
        for watch in _with_steps(model):
            leaving.callback(WatchedMethod(watch.scheduler, "step", _step_noter(passes, watch)).take_off)
    for turn, tapped in enumerate(plan.layers):
        tap = Tap(tapped.module, plan_of(tapped, turn), is_on=lambda: passes.session is not None)
        leaving.callback(tap.detach)
        tap.attach()


def _with_steps(model: Model) -> list[PipelineWatch]:
    """The pipelines of a model, each of which has a scheduler."""
    name = type(model.plan.model).__name__
    if not model.watches:
        raise CaptureError(
            f"previews and on_step need a pipeline, whose scheduler says how much noise there is, and this is a {name} "
            "alone: capture the pipeline, or leave them out"
        )
    for watch in model.watches:
        if not hasattr(watch.scheduler, "step"):
            raise CaptureError(
                f"previews and on_step need a scheduler, and {type(watch.pipeline).__name__} has none: leave them out"
            )
    return model.watches


def _step_noter(passes: Passes, watch: PipelineWatch) -> Callable[..., Any]:
    named = NamedArguments(watch.scheduler, "step")

    def step(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        if passes.session is not None:
            passes.session.previews.note_step(watch.scheduler, named.read(args, kwargs), result)
        return result

    return step


def _map_noter(passes: Passes, path: str):
    def note(module: nn.Module, args: tuple, kwargs: dict) -> None:
        if passes.session is not None:
            hidden = args[0] if args else kwargs["hidden_states"]
            passes.session.book.note_map(path, tuple(hidden.shape))

    return note


def _output_taker(passes: Passes, plan: Plan, path: str):
    def take(module: nn.Module, args: tuple, output: Any) -> None:
        if passes.session is not None and passes.session.plan is plan:
            passes.session.outputs.note(path, output)

    return take


def _state_noter(passes: Passes, path: str):
    def note(module: nn.Module, args: tuple, kwargs: dict) -> None:
        if passes.session is not None and passes.session.listens:
            context = args[1] if len(args) > 1 else kwargs.get("encoder_hidden_states")
            passes.session.open_words.note_states(path, context)

    return note

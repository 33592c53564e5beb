"""Capture: a context manager that puts hooks on a model, records its runs and leaves the model as it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import torch
from torch import Tensor

from attnscope.errors import ParameterError
from attnscope.recording.calling.told import Told
from attnscope.recording.observing.observation import Observe, Sighting
from attnscope.recording.planning.keeping import Keeping
from attnscope.recording.planning.modules import TappedLayer
from attnscope.recording.planning.outputs import check_outputs, paths_of
from attnscope.recording.planning.plan import Asked, OnStep, Plan, plan_capture
from attnscope.recording.planning.previews import pixels_of
from attnscope.recording.running.attaching import attach, watched_models
from attnscope.recording.running.owners import Purpose, own
from attnscope.recording.running.passes import Passes
from attnscope.records import Kind
from attnscope.records.reduced import Reduced
from attnscope.spelling import both_spellings
from attnscope.storage.opening import open_store
from attnscope.storage.sizes import parse_bytes
from attnscope.trace.contents import Pass
from attnscope.trace.trace import Trace


@both_spellings("blocks", "steps", "outputs")
class capture:
    """Record Q and K of the attention layers while pipelines or U-Nets run.

    Use it as `with attnscope.capture(pipe) as trace:` around the pipeline's call. The trace fills as the model runs
    and stays when the block is left. The model computes exactly what it computes without a capture, and nothing is
    left on it afterwards, also after an exception.

    Every call of the pipeline inside the block is a pass of its own: see `trace.passes`. So is a call of a second
    pipeline, such as image-to-image after text-to-image or a refiner, when all of them are given as a list.

    Args:
        model: A diffusers pipeline with a U-Net, the U-Net itself, or a list of those.
        blocks: Numbers of transformer blocks, from 1 in execution order. All by default.
        kind: "self" or "cross"; both by default.
        steps: Numbers of denoising steps, from 0, or a slice; negative ones count from the end of the run. All by
            default.
        branch: Guidance branches to keep, such as "cond". All by default.
        value: Record V, too.
        dtype: What to keep tensors as; the model's own type by default.
        where: Memory that Q and K stay in: "cpu", or "device" for the model's own. A path stands for `folder`.
        folder: A new folder into which each step is written as it comes, so that memory stays flat.
        branches: Names of the guidance rows in the batch's order, for a U-Net that is called directly or a pipeline
            that attnscope does not know. Without it a pipeline's own call tells them, and a bare U-Net may be called
            with one row, or without text.
        keep: Maps to reduce over the run as it goes, by name: `{"words": Reduced("cross")}`. They are found in
            `trace.reduced` and come beside the Q and K that the other choices name.
        prompt: The text of embeddings that were made elsewhere, `pipe(prompt_embeds=...)`: one, or one for each image,
            as the encoder read it, so without weights that were taken out before. The trace then knows its words.
        negative_prompt: The same for the negative prompt.
        qk: Whether to keep Q and K; False keeps the maps of `keep` and the `outputs` alone.
        outputs: Paths of modules of the model, as `model.named_modules()` has them, whose output is kept, too, of the
            same steps and branches: `trace.output(path)` gives it. Of a tuple, or of one of diffusers' outputs, it is
            the first element. A module that gives no tensor with a row for each row of the batch, does not run, or
            runs several times in a call stops nothing; a warning says so at the end. Each takes its own size a
            step, which counts with Q and K: 2.6 MB for a row of a module of Stable Diffusion v1 on the 64x64 grid.
        open_words: Keep how each cross-attention makes its keys of a text, too, once for the run: `heat_map` can then
            read words that are not in the prompt. 38 MB for Stable Diffusion v1 in float32, beside a budget.
        previews: Keep a small picture of each step, too, of what the model takes the picture to be by then: its longer
            side in pixels, or True for at most 128. They are `trace.previews` once the run is over. A pixel is a place
            of the latent, in transformers a patch, so 64x64 for Stable Diffusion v1 at 512x512, 12 kB a step; colours
            follow from the finished picture, without which there are none. Of pictures alone, not of videos.
        on_step: Called as `on_step(taken)` whenever a pipeline's scheduler has taken a step, with the step's number,
            `taken.step`, and the latent that the model predicts the picture to have, `taken.predicted`, None where
            that is not known. The trace has the step by then. What it raises ends the run, as what the pipeline's own
            callbacks raise does.
        budget: The most memory that Q and K may take: "2GB", a number of bytes, or "80%" of what is free. With a
            folder, steps are written while the model goes on, and it waits when more than that is unwritten.
            Otherwise the oldest steps go to a temporary folder, which is gone with the trace; without a budget,
            too, if the run would take more than half of what is free at its first step. On a GPU one step's
            page-locked memory, up to twice the step, counts too; torch keeps it for later copies.
        grad: Leave Q and K in autograd's graph, on the model's device: probabilities and heat maps of the trace are
            then differentiable, as `heat_map(...).tensor`. The model must be called with gradients, which pipelines
            switch off. The graph takes the memory of a training step.

    Raises:
        CaptureError: The model is captured already, is compiled, nothing was recorded, or neither memory nor disk has
            room for the run.
        UnobservedError: A processor such as xformers' shows neither Q nor K.
        SelectionError: The model lacks a block, or the run a step, that was chosen.
        ParameterError: A choice makes no sense, such as a budget of 0.
        OutputError: The folder exists already, or can't be written.

    Warns:
        LargeCaptureWarning: The run takes more than half of the free memory, so it goes to disk; or a disk lacks room.
        IncompleteCaptureWarning: A layer did not run, a step never came, or a prompt's tokens could not be named.

    Cost: the memory of Q and K, 142 MB a step for Stable Diffusion v1 at 512x512 in float16.

    >>> import attnscope
    >>> pipe = attnscope.load_pipeline("demo")
    >>> pipe.set_progress_bar_config(disable=True)
    >>> with attnscope.capture(pipe, blocks=[16], kind="cross") as trace:
    ...     result = pipe("a red house", num_inference_steps=2)
    >>> trace
    <Trace 'a red house', 1 layers, 2 of 2 steps, 1 image(s), branches uncond, cond>
    """

    def __init__(
        self,
        model: Any,
        *,
        blocks: int | Sequence[int] | None = None,
        kind: Kind | None = None,
        steps: int | Sequence[int] | slice | None = None,
        branch: str | Sequence[str] | None = None,
        value: bool = False,
        dtype: torch.dtype | None = None,
        where: Literal["cpu", "device"] | str | Path = "cpu",
        branches: Sequence[str] | None = None,
        keep: Mapping[str, Reduced] | None = None,
        qk: bool = True,
        outputs: str | Sequence[str] | None = None,
        folder: str | Path | None = None,
        budget: int | str | None = None,
        prompt: str | Sequence[str] | None = None,
        negative_prompt: str | Sequence[str] | None = None,
        grad: bool = False,
        open_words: bool = False,
        previews: bool | int = False,
        on_step: OnStep | None = None,
    ) -> None:
        self._budget = None if budget is None else parse_bytes(budget)
        if folder is not None and where != "cpu":
            raise ParameterError(
                f"folder {folder!r} and where {where!r} both say where steps go: give one of them"
            )
        paths = paths_of(outputs)
        if not qk and not keep and not paths:
            raise ParameterError(
                "qk=False keeps no Q and K, so there is nothing to record: say what to reduce, keep=, or whose output "
                "to keep, outputs="
            )
        if paths and isinstance(steps, Sequence) and not steps:
            raise ParameterError(
                "steps=[] keeps no step, and so no output of any: leave it out, and use qk=False to keep no "
                "Q and K"
            )
        if grad and (folder is not None or budget is not None or where not in ("cpu", "device")):
            raise ParameterError(
                "grad=True keeps a graph, which no file can hold: leave out folder, where and budget"
            )
        place = "device" if grad else where if folder is None else Path(folder)
        keeping = Keeping(place, dtype, value, grad)
        asked = Asked(
            blocks,
            kind,
            steps,
            branch,
            branches,
            keep or {},
            keeping,
            qk,
            open_words,
            pixels_of(previews),
            paths,
            on_step,
        )
        self._stays, self._grad = keeping.where == "device", grad
        self._folder = (
            None if keeping.folder is None else Path(keeping.folder).absolute()
        )  # whatever os.chdir does
        self._models = watched_models(
            model, partial(plan_capture, asked=asked), Told(prompt, negative_prompt)
        )
        check_outputs([watched.module for watched in self._models], paths)

    def __enter__(self) -> Trace:
        watched = (tapped.module for model in self._models for tapped in model.plan.layers)
        with ExitStack() as leaving:  # in the other order, each step whatever another one raises
            modules = (*(model.module for model in self._models), *watched)
            purpose: Purpose = "graph" if self._grad else "capture"
            leaving.callback(own(modules, purpose=purpose))
            models = [model.renewed() for model in self._models]
            store = open_store(self._folder, self._budget, on_device=self._stays)
            trace = Trace(coming=Pass(run=models[0].coming_run))
            self._passes = Passes(store, trace, models, purpose=purpose)
            leaving.callback(self._passes.close)
            for model in models:
                attach(model, self._passes, leaving, partial(_observe, self._passes, model.plan))
            self._leaving = leaving.pop_all()
        return trace

    def __exit__(
        self, error: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leaving.close()
        if error is None:
            self._passes.check_complete()


def _observe(passes: Passes, plan: Plan, tapped: TappedLayer, turn: int) -> Observe:
    name = f"{tapped.layer} ({tapped.path})"
    receive, listens = _receiver(passes, tapped), _listens(passes)
    component = plan.family.component
    goes_on = _goes_on(passes, tapped)
    pictures = tapped.sides.picture_keys if tapped.sides is not None else ()
    return Observe(
        tapped.module,
        name,
        tapped.layer.kind,
        receive,
        listens,
        goes_on,
        turn,
        component,
        pictures,
        grad=plan.asked.keeping.grad,
    )


def _receiver(passes: Passes, tapped: TappedLayer):
    def receive(sightings: Sequence[Sighting], hidden: Tensor) -> None:
        if passes.session is not None:
            passes.session.receive(tapped, sightings, hidden)

    return receive


def _listens(passes: Passes):
    # no session: somebody calls the attention by itself
    return lambda: passes.session is not None and passes.session.listens


def _goes_on(passes: Passes, tapped: TappedLayer):
    return lambda why: passes.session is not None and passes.session.goes_on_without(tapped, why)

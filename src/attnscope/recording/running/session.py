"""One pass of a model under a capture: its calls are recorded, its steps are reduced.

It knows neither hooks nor files: `passes` tells it what the model does, `storage` takes what it keeps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from attnscope.atlas.families import unwrapped
from attnscope.errors import CaptureError
from attnscope.recording.calling.callers import Asking
from attnscope.recording.calling.picture_size import pixels_per_latent
from attnscope.recording.calling.pipeline_call import PipelineCall
from attnscope.recording.calling.pipeline_watch import PipelineWatch
from attnscope.recording.observing.describing import LayerBook, as_places
from attnscope.recording.observing.observation import Sighting
from attnscope.recording.observing.row_lengths import with_equal_rows
from attnscope.recording.planning.keeping import staged_bytes
from attnscope.recording.planning.modules import TappedLayer, other_model
from attnscope.recording.planning.plan import Plan
from attnscope.recording.running.calls import Calls
from attnscope.recording.running.gaps import Missed, layer_gaps, none_ran, note_missing, step_gaps
from attnscope.recording.running.lost import Lost
from attnscope.recording.running.open_words import OpenWords
from attnscope.recording.running.outputs import ModuleOutputs
from attnscope.recording.running.previews import previews_of
from attnscope.recording.running.reducing import Reducing
from attnscope.recording.running.under_way import UnderWay
from attnscope.records import Call, Grid, Layer, LayerId, Run
from attnscope.records.qkv import Record
from attnscope.storage.memory import Store, bytes_of
from attnscope.trace.contents import Pass
from attnscope.trace.tokens import unnamed_tokens


class Session:
    """One pass while it runs.

    Args:
        plan: What is recorded of the model.
        call: The call of a pipeline, or what is done by hand; its run is filled as it goes.
        store: Where its records go.
        watch: The pipeline's watch, None for a bare model.
        first: The first call of the model.
        is_first: Whether this is the capture's first pass, which must have all steps that were chosen.
    """

    def __init__(
        self,
        plan: Plan,
        call: PipelineCall,
        store: Store,
        watch: PipelineWatch | None,
        first: Asking,
        *,
        is_first: bool,
    ) -> None:
        self.plan, self.call, self.run, self._is_first = plan, call, call.run, is_first
        self._store, self._watch = store, watch
        self._latent = Grid(*first.shape[-2:]) if first.attended is None else first.attended.grid
        self.is_whole = True  # all steps of a pipeline's call fall into this pass
        self._running: UnderWay | None = None
        self.book = LayerBook()
        self._missing: dict[LayerId, Missed] = {}
        self.lost, self.open_words = Lost(), OpenWords(plan.asked.open_words, is_first=is_first)
        self.outputs = ModuleOutputs(plan)
        self.run.frames, self.run.previews = _frames(plan, first), {}
        self.previews = previews_of(plan.asked, self.run.frames, is_first=is_first)
        self.calls = Calls(plan, call, None if watch is None else watch.scheduler, first)
        self._begin_run(first)
        self.into = Pass(store.begin_pass(self.run), self.run, self._reducing.maps)

    def _begin_run(self, first: Asking) -> None:
        self.run.family = self.plan.family.label(getattr(unwrapped(self.plan.model), "config", {}))
        self.run.latent_size_hw = latent = first.latent_hw
        if self._watch is not None:
            self._watch.model_runs()
            scale = pixels_per_latent(self._watch.pipeline)
            self.run.image_size_hw = (latent[0] * scale, latent[1] * scale) if scale else None
        if (planned := self.run.planned_steps) is not None:
            planned = self.run.planned_steps = -(-planned // self.calls.order)
        # a step that the first pass lacks is the user's slip; a later pass must not stop the run
        self._wanted = self.plan.wanted(planned, strict=self._is_first)
        self._reducing = Reducing(self.plan.asked.keep, planned, self._latent, strict=self._is_first)

    # One call of the model

    def begin_call(self, asked: Asking) -> None:
        """The model is called.

        Args:
            asked: What it is called with.

        Raises:
            CaptureError: Nothing tells which row is which.
            SelectionError: The first step has ended, and a branch that was chosen is not in it.
        """
        self._running, before = None, self.calls.steps
        self.book.attended = asked.attended
        call = self.calls.begin(asked)
        if call is None:
            return
        if len(before) == 1 and call.step not in before:
            self.check_branches()
        if self._watch is not None:
            self._watch.overhear(asked, call.rows)
        kept = self.plan.kept_rows(call.rows)
        is_wanted = call.step in self._wanted and bool(kept)
        self._running = UnderWay(call, kept, {} if is_wanted else None)
        self.outputs.begin(call, kept if is_wanted else None)

    def check_branches(self) -> None:
        """Refuse branches that were chosen and that the first step lacks. A later pass must not stop the run.

        Raises:
            SelectionError: The run has no such branch.
        """
        if self._is_first and self.calls.steps:
            self.plan.check_branches(self.calls.branches)

    @property
    def call_under_way(self) -> Call | None:
        """The call of the model that goes on now; None where nothing names its rows."""
        return None if self._running is None else self._running.call

    @property
    def listens(self) -> bool:
        """Whether anything is recorded of the call under way."""
        return self._running is not None and (self._running.qk is not None or bool(self._reducing))

    def receive(self, tapped: TappedLayer, sightings: Sequence[Sighting], hidden: Tensor) -> None:
        """Take what one attention module has computed.

        Args:
            tapped: The module's layer.
            sightings: Its own attention, then those of IP-Adapters.
            hidden: The module's input.
        """
        if (running := self._running) is None or not self.listens:
            return
        running.ran.add(tapped.layer)
        grid = self.book.grid_of(tapped, hidden)
        for sighting in sightings:
            self.run.edits += [edit for edit in sighting.edits if edit not in self.run.edits]
            sighting = _evened(tapped, sighting, self.book, grid)
            rows = running.rows_of(sighting.record)
            layer = self.book.described(tapped, sighting, hidden, grid, rows, len(running.call.rows))
            self._take(running, tapped, sighting, layer)

    def goes_on_without(self, tapped: TappedLayer, why: CaptureError) -> bool:
        """Whether a run goes on though a layer can't be recorded: in its first call it is refused, later it is not.

        Args:
            tapped: The layer.
            why: What is wrong.
        """
        if (running := self._running) is None or running.call.index == 0:
            return False
        running.ran.add(tapped.layer)
        self.lost.add(tapped.layer, running.call.step, why)
        return True

    def _take(self, running: UnderWay, tapped: TappedLayer, sighting: Sighting, layer: Layer) -> None:
        if self._reducing:
            running.whole[layer.id] = sighting.record.mapped(Tensor.detach)
        if running.qk is None or not self.plan.keeps_qk_of(tapped, layer.kind):
            return
        if (kept := self.plan.asked.keeping.kept(sighting.record, running.kept_rows)) is not None:
            self.into.records.layers.setdefault(layer.id, layer)
            running.qk[layer.id] = kept
            self.open_words.look(tapped, sighting)

    def end_call(self) -> None:
        """The call has ended: keep it, and reduce it."""
        running, self._running = self._running, None
        if running is None or (running.qk is None and not self._reducing):
            return
        note_missing(self.plan, running.ran, running.call.step, self._missing)
        self.name_tokens()
        if self._reducing:
            of_step = self.calls.of_step(running.call.step)
            self._reducing.offer(running.call, of_step, running.whole, self.book.layers)
        if running.qk is not None:
            self._keep(running, running.qk)

    def name_tokens(self) -> None:
        """Give the tokens of texts their names, once a layer that reads them is known."""
        _name_tokens(self.run, self.book, self._watch)

    def _keep(self, running: UnderWay, qk: dict[LayerId, Record]) -> None:
        outputs = self.outputs.of_call(self.into.records)
        size, staged = bytes_of(qk, outputs), staged_bytes(qk, outputs)
        if not self.into.records.calls:
            steps = sum(step in self._wanted for step in range(self.run.planned_steps or 0))
            self._store.expect(size, steps, staged=staged)
        self._store.make_room(size, staged=staged)
        self.open_words.keep(self.into.records)
        self.into.records.add_call(running.kept_call, *self.plan.asked.keeping.arrived(qk, outputs))

    # The end

    def finish(self) -> None:
        """The pass is over. A call that did not end is dropped."""
        self._running = None
        self._reducing.flush()
        self.previews.finish(self.run)
        self.open_words.finish(self.into.records)
        self.into.records.finish(self.into.reduced)

    @property
    def recorded(self) -> bool:
        """Whether the pass left anything, or the reason why there are no maps."""
        reduced = any(maps.steps or maps.failure for maps in self.into.reduced.values())
        qk = bool(self.into.records.calls and self.into.records.layers)
        return reduced or qk or self.outputs.recorded

    def why_nothing(self) -> str:
        """Why nothing was recorded of this pass."""
        lacking = "; ".join((*self._reducing.left_out(), *self.lost.gaps(), *self.outputs.gaps()))
        if lacking or (self.into.records.calls and self.plan.layers):
            return lacking or none_ran(self._missing.get(self.plan.layers[0].layer))
        asked = self.plan.asked
        return self.calls.why_nothing() + ("" if asked.keeps_no_calls else f", not {asked.steps}")

    def gaps(self) -> Iterator[str]:
        """What is missing: steps that were chosen or planned and never came, layers that did not run, tokens' names."""
        if self.run.unnamed:
            yield f"the prompt's tokens have only numbers, no names, because {self.run.unnamed}"
        if self.is_whole:
            wanted = (self._wanted, *self._reducing.wanted)
            other = other_model(self.plan.family, getattr(self._watch, "pipeline", None), self.plan.model)
            yield from step_gaps(self.calls.all_steps, self.run.planned_steps, wanted, other)
        yield from (*self.calls.extra_calls(), *self._reducing.gaps(self.calls.steps))
        yield from (*self.lost.gaps(), *self.outputs.gaps(), *self.open_words.gaps(), *self.previews.gaps())
        yield from layer_gaps(self.plan, self.run.frames, self._missing, self.calls.steps)


def _evened(tapped: TappedLayer, sighting: Sighting, book: LayerBook, grid: Grid) -> Sighting:
    """The attention with rows of one length, and places alone."""
    if sighting.kind is None:  # an adapter's keys are no texts
        even = with_equal_rows(tapped, sighting.record, book.attended)
        sighting = sighting._replace(record=even)
    if tapped.layer.kind == "fuser":
        sighting = sighting._replace(record=as_places(sighting.record, grid))
    return sighting


def _name_tokens(run: Run, book: LayerBook, watch: PipelineWatch | None) -> None:
    reads_text = next((layer for layer in book.layers.values() if layer.reads_text), None)
    if reads_text is None:
        return
    frames = run.frames if book.attended is None else 1
    tokens, videos = len(reads_text.keys_of("context")), -(-reads_text.batch // frames)
    if watch is not None:
        watch.prompts.fit(run, images=videos, keys=tokens)
    run.tokens = run.tokens or [unnamed_tokens(tokens)] * videos


def _frames(plan: Plan, first: Asking) -> int:
    """Frames of a video's latent, 1 for a picture."""
    if first.attended is not None:
        return first.attended.frames
    if len(first.shape) != 4:
        return 1
    paths = [path for path, _ in plan.model.named_modules()]
    return int(first.shape[plan.family.frame_axis(paths) - 1])

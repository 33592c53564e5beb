"""Edit: a context manager that answers a model's attention with another one, and leaves the model as it was."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any

from torch import Tensor

from attnscope.atlas.families import Attended
from attnscope.editing.edits import Edit
from attnscope.editing.planning import plan_edits
from attnscope.editing.site import Site, is_in_step
from attnscope.errors import CaptureError, EditError, ParameterError
from attnscope.probability.changed import Change
from attnscope.recording.calling.told import Told
from attnscope.recording.observing.adapters import AdapterKeys
from attnscope.recording.observing.describing import LayerBook, as_places
from attnscope.recording.observing.observation import Sighting
from attnscope.recording.observing.row_lengths import with_equal_rows
from attnscope.recording.obstacles.skipped import answering_hook
from attnscope.recording.planning.modules import TappedLayer
from attnscope.recording.running.attaching import attach, watched_models
from attnscope.recording.running.owners import own
from attnscope.recording.running.passes import Passes
from attnscope.recording.running.session import Session
from attnscope.recording.tapping.attention import Attention
from attnscope.records import Call, Kind, Layer, Row
from attnscope.records.qkv import Record
from attnscope.storage.memory import MemoryStore
from attnscope.trace.trace import Trace


class UnusedEditWarning(UserWarning):
    """An edit was never made: no step, layer or row that it is for has run."""


class edit:
    """Change attention while pipelines or their models run.

    Use it as `with attnscope.edit(pipe, attnscope.Reweight("sun", 2.0)) as edits:` around the pipeline's call. Edits
    are made in their order; those of an outer `with` come first. Layers without an edit run as ever, bit for bit,
    and nothing is left on the model afterwards, also after an exception. A capture around or inside records what was
    used: `trace.probabilities(..., before_edits=True)` is what the model had computed.

    Args:
        model: A diffusers pipeline, its denoising model, or a list of those.
        *edits: `Ablate`, `Reweight`, `Replace`, `Region`, `Temperature`, `Freeze` or `Custom`.
        branches: As for `attnscope.capture`: names of the guidance rows, for a bare model.
        prompt: As there: the text of embeddings that were made elsewhere.
        negative_prompt: As there.

    Raises:
        ParameterError: There is no edit, or something else than edits.
        SelectionError: The model lacks a block, a kind or a head that an edit is for.
        WordError: No prompt has the words of an edit.
        EditError: The attention can't be edited: it is sliced, not computed by torch, or of a video.

    Warns:
        UnusedEditWarning: An edit was never made.

    Cost: of each edited layer P of the rows and heads that are edited, in tiles; see each edit.

    >>> import attnscope
    >>> pipe = attnscope.load_pipeline("demo")
    >>> pipe.set_progress_bar_config(disable=True)
    >>> with attnscope.edit(pipe, attnscope.Reweight("red", 3.0)) as edits:
    ...     picture = pipe("a red house", num_inference_steps=2).images[0]
    >>> edits.count  # 16 layers of words, 2 steps
    32
    """

    def __init__(
        self,
        model: Any,
        *edits: Edit,
        branches: Sequence[str] | None = None,
        prompt: str | Sequence[str] | None = None,
        negative_prompt: str | Sequence[str] | None = None,
    ) -> None:
        if not edits or not all(isinstance(one, Edit) for one in edits):
            wrong = next((repr(one) for one in edits if not isinstance(one, Edit)), "none")
            raise ParameterError(
                f"edits are {wrong}; expected Ablate, Reweight, Replace, Region, Temperature, Freeze or Custom"
            )
        self.edits = edits
        self.counts: Counter[int] = Counter()
        """How many attentions each edit has changed, by its number."""
        plan = partial(plan_edits, edits=edits, branches=branches)
        self._models = watched_models(model, plan, Told(prompt, negative_prompt))

    @property
    def count(self) -> int:
        """How many attentions were changed, each edit counted."""
        return self.counts.total()

    def __enter__(self) -> edit:
        watched = (tapped.module for model in self._models for tapped in model.plan.layers)
        self.counts.clear()
        with ExitStack() as leaving:
            leaving.callback(own((*(model.module for model in self._models), *watched), purpose="edit"))
            models = [model.renewed() for model in self._models]
            passes = Passes(MemoryStore(), Trace(), models, purpose="edit")
            leaving.callback(passes.close)
            for model in models:
                attach(model, passes, leaving, lambda tapped, turn: _Editing(self, passes, tapped))
            self._leaving = leaving.pop_all()
        return self

    def __exit__(
        self, error: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leaving.close()
        if error is not None:
            return
        for number, one in enumerate(self.edits):
            if not self.counts[number]:
                warnings.warn(
                    f"{one} changed nothing: none of the attention that it applies to ran, or no row of its "
                    "branch or image did",
                    UnusedEditWarning,
                    stacklevel=2,
                )

    def __repr__(self) -> str:
        return f"<edit {', '.join(map(str, self.edits))}: {self.count} attentions changed>"


class _Editing:
    """A plan for the tap: says what becomes of the attention of one module."""

    def __init__(self, owner: edit, passes: Passes, tapped: TappedLayer) -> None:
        self.owner, self.passes, self.tapped = owner, passes, tapped

    def begin(self, hidden_states: Tensor, context: Any) -> _EditedRun | None:
        session = self.passes.session
        if session is None:
            return None
        if session.call_under_way is None:
            for why in session.calls.lost.values():  # the rows of a call that must be edited are unknown
                raise EditError(f"{self.tapped.layer} can't be edited: {why}")
            return None
        return _EditedRun(self, hidden_states, reads_places=context is None)


class _EditedRun:
    """One run of a module whose attention may be edited."""

    def __init__(self, plan: _Editing, hidden: Tensor, *, reads_places: bool) -> None:
        self._plan, self._hidden, self._reads_places = plan, hidden, reads_places
        self._adapters = AdapterKeys()
        self._seen = 0

    def open(self) -> None:
        sides = self._plan.tapped.sides
        self._adapters.attach(self._plan.tapped.module, sides.picture_keys if sides is not None else ())

    def see(self, attention: Attention) -> None:
        self._adapters.note(attention)

    def changes(self, attention: Attention) -> list[Change]:
        if id(attention) in self._adapters.sources():
            return []
        self._seen += 1
        session = self._plan.passes.session
        assert session is not None
        call, run = session.call_under_way, session.run
        assert call is not None
        edits = [(at, one) for at, one in enumerate(self._plan.owner.edits) if is_in_step(one, call, run)]
        if not edits:
            return []
        site = self._site(attention, session, call)
        changes: list[Change] = []
        for number, one in edits:
            if _is_for(one, site):
                made = [change for change in one.changes(site) if change.rows and change.heads]
                self._plan.owner.counts[number] += bool(made)
                attention.edits += (str(one),) if made else ()
                changes += made
        return changes

    def _site(self, attention: Attention, session: Session, call: Call) -> Site:
        tapped = self._plan.tapped
        record = self._record(attention, len(call.rows))
        kind = "self2" if self._reads_places and tapped.layer.kind.startswith("cross") else None
        if session.run.frames > 1:
            raise EditError(
                f"{self._name} can't be edited: only attention of pictures can be edited so far, not of "
                "videos"
            )
        try:
            layer = self._described(session, record, kind, call.rows)
        except CaptureError as error:
            raise EditError(f"{self._name} can't be edited: {error}") from error
        computed = call.rows if record.rows is None else call.rows[: len(record.rows)]
        return Site(record, layer, replace(call, rows=computed), session.run)

    def _record(self, attention: Attention, rows: int) -> Record:
        """Q, K and mask of the rows that are computed, as a record."""
        module: Any = self._plan.tapped.module
        query, key, mask = attention.query.detach(), attention.key.detach(), attention.mask
        heads = int(module.heads)
        computed = query.shape[0] // (heads if query.ndim == 3 else 1)
        if (
            "PAG" not in type(module.processor).__name__
        ):  # whose perturbed rows come last and attend to nothing
            computed = rows
        if query.ndim == 3 and query.shape[0] == computed * heads and attention.value is None:
            query, key = (tensor.unflatten(0, (computed, heads)) for tensor in (query, key))
            mask = (
                None if mask is None else mask.unflatten(0, (-1, heads)) if mask.shape[0] > 1 else mask[None]
            )
        if query.ndim != 4 or tuple(query.shape[:2]) != (computed, heads):
            raise EditError(
                f"{self._name} can't be edited: it computes attention of shape {tuple(attention.query.shape)} where "
                f"the call of the model has {rows} rows and {heads} heads, as attention in slices does; "
                "pipe.disable_attention_slicing() or diffusers' own processor"
            )
        if mask is not None:
            mask = mask.reshape([1] * (4 - mask.ndim) + list(mask.shape))
        there = None if computed == rows else tuple(range(computed))
        return Record(query, key, mask=mask, scale=attention.scale, rows=there)

    def _described(self, session: Session, record: Record, kind: Kind | None, rows: Sequence[Row]) -> Layer:
        """The layer as this call computes it. Other calls may read longer texts, by which tokens have their names."""
        tapped, attended = self._plan.tapped, session.book.attended
        grid = session.book.grid_of(tapped, self._hidden)
        record = as_places(record, grid) if tapped.layer.kind == "fuser" else record
        even = with_equal_rows(tapped, record, attended)
        layer = session.book.described(tapped, Sighting(even, kind), self._hidden, grid, rows, len(rows))
        session.name_tokens()
        if even is record or attended is None:
            return layer
        book = LayerBook()
        book.attended = _as_computed(attended)
        if book.attended is None:
            raise EditError(
                f"{self._name} can't be edited: texts of different lengths share a call of the model, so that words "
                "stand at different places in its rows; run prompts one by one"
            )
        return book.described(tapped, Sighting(record, kind), self._hidden, grid, rows, len(rows))

    @property
    def _name(self) -> str:
        return f"{self._plan.tapped.layer} ({self._plan.tapped.path})"

    def computed(self, attention: Attention) -> None:
        pass

    def end(self, output: Any) -> None:
        if not self._seen and answering_hook(self._plan.tapped.module) is None:
            processor = type(self._plan.tapped.module.processor).__name__
            raise EditError(
                f"{self._name} can't be edited: its processor {processor} computes attention in a way that can't be "
                "followed, as xformers does; use diffusers' own"
            )

    def close(self) -> None:
        self._adapters.detach()


def _as_computed(attended: Attended) -> Attended | None:
    """Without room for longer texts; None where rows of this call differ, or parts of the text would shift."""
    texts = [name for name, _ in attended.tokens_of(["context"])]
    lengths = {tuple(sorted(of_row.items())) for of_row in attended.rows}
    if len(lengths) > 1 or any(name != texts[-1] for of_row in attended.rows for name in of_row):
        return None
    shorter = attended.rows[0] if attended.rows else {}
    return attended._replace(parts={**attended.parts, **shorter}, rows=())


def _is_for(one: Edit, site: Site) -> bool:
    blocks = one.block
    is_in_block = blocks is None or site.layer.block in ([blocks] if isinstance(blocks, int) else blocks)
    return is_in_block and one.part_of(site.layer) is not None

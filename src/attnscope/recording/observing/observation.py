"""Observing, a plan for the tap: makes Records of the attentions that one module computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from attnscope.errors import CaptureError, UnobservedError
from attnscope.probability.verdicts import Verdicts
from attnscope.recording.observing.adapters import AdapterKeys
from attnscope.recording.observing.assembling import joined_record, joined_result
from attnscope.recording.observing.order_check import OrderCheck
from attnscope.recording.observing.sample_check import check_sample
from attnscope.recording.obstacles.skipped import answering_hook
from attnscope.recording.obstacles.unseen import described, own_processor, unseen
from attnscope.recording.tapping.attention import Attention
from attnscope.records import KeyPart, Kind
from attnscope.records.qkv import Record

_CHECKED_EVERY = 16
"""Runs of a module between two checks of what its processor does: with 32 layers, two are checked in each call."""


class Sighting(NamedTuple):
    """One softmax that a module computed.

    Attributes:
        record: Its Q, K and so on.
        kind: Its kind where that is not the one of the module: an adapter's, or 'self2' of a cross-attention that gets
            nothing to look at.
        parts: Where an adapter's keys come from.
        edits: The edits that changed it, as text.
    """

    record: Record
    kind: Kind | None = None
    parts: tuple[KeyPart, ...] = ()
    edits: tuple[str, ...] = ()


class Observe:
    """Makes Records each time the module has run. Q and K are copied when they are used: memory is reused later.

    Args:
        module: The attention module.
        name: The layer's name, for messages.
        kind: The module's kind.
        receive: Called with what was seen and with the module's input.
        listens: Whether anything is recorded just now; a model under way for other reasons costs nothing.
        goes_on: Called with the error where the module can't be recorded: whether the run goes on without it.
        turn: Number of the layer: in each call of the model others are checked.
        component: The pipeline's attribute that holds the model, for messages.
        picture_keys: Parts of the module that make keys of a picture for a softmax beside the module's own.
        grad: Leave Q and K in autograd's graph.
    """

    def __init__(
        self,
        module: Any,
        name: str,
        kind: Kind,
        receive: Callable[[Sequence[Sighting], Tensor], None],
        listens: Callable[[], bool],
        goes_on: Callable[[CaptureError], bool],
        turn: int = 0,
        component: str = "unet",
        picture_keys: Sequence[str] = (),
        *,
        grad: bool = False,
    ) -> None:
        self.module, self.name, self.kind, self.receive = module, name, kind, receive
        self.component, self.picture_keys = component, picture_keys
        self._listens, self.goes_on, self.grad = listens, goes_on, grad
        self._checked_for: Any = None
        self._runs = turn

    def begin(self, hidden_states: Tensor, context: Any) -> Observation | None:
        """The module is about to run.

        Args:
            hidden_states: Its input.
            context: What it gets to look at, such as the text; None for its own input.

        Returns:
            Sees this run; None if nothing is recorded just now.
        """
        if not self._listens():
            return None
        self._runs += 1
        is_checked = self._checked_for is not self.module.processor or self._runs % _CHECKED_EVERY == 0
        return Observation(self, hidden_states, reads_places=context is None, is_checked=is_checked)

    def has_run(self) -> None:
        """The module has run, and a check, if there was one, has found nothing."""
        self._checked_for = self.module.processor


class Observation:
    """One run of an attention module, in one thread.

    Args:
        layer: The module and its name.
        hidden: The module's input.
        reads_places: Whether it gets nothing else to look at.
        is_checked: Whether it is checked that the record tells what is computed.
    """

    def __init__(self, layer: Observe, hidden: Tensor, *, reads_places: bool, is_checked: bool) -> None:
        self._layer, self._module, self._name = layer, layer.module, layer.name
        self._hidden, self._reads_places, self._is_checked = hidden, reads_places, is_checked
        self._seen: list[Attention] = []
        self._adapters, self._order, self._verdicts = AdapterKeys(), OrderCheck(), Verdicts()
        self._is_lost = False

    def open(self) -> None:
        """The module is about to run."""
        self._adapters.attach(self._module, self._layer.picture_keys)
        if self._is_checked:
            self._order.attach(self._module)

    def see(self, attention: Attention) -> None:
        """The module is about to compute this attention.

        Args:
            attention: What it is computed from.
        """
        if self._layer.grad and not (attention.query.requires_grad or attention.key.requires_grad):
            self._refuse(CaptureError(_no_graph(self._name)))
        attention.keep(with_graph=self._layer.grad)
        attention.wants_result = self._is_checked
        attention.wants_after = True
        self._adapters.note(attention)
        self._seen.append(attention)

    def changes(self, attention: Attention) -> tuple[()]:
        """Nothing becomes of its P.

        Args:
            attention: What it is computed from.
        """
        return ()

    def computed(self, attention: Attention) -> None:
        """It has been computed. The first time that a processor runs, and now and then, a sample of rows is checked.

        Args:
            attention: The same, with its result.

        Raises:
            UnobservedError: The result is not what Q, K and V give, in the first call of a run; with a GPU's numbers
                `end` raises that.
        """
        if not self._is_checked or self._is_lost or attention.after is not None:
            return
        if attention.output is not None:
            attention.keep_result(attention.output)
        try:
            with torch.no_grad():
                check_sample(attention, self._verdicts, self._refuse_result)
        except CaptureError as error:
            self._refuse(error)

    def end(self, output: Any) -> None:
        """The module has run: hand over its Records. Where a cache has answered for it, there are none.

        Args:
            output: What it returned.

        Raises:
            CaptureError: It can't be recorded, in the first call of a run. Later the run goes on without it.
        """
        if self._is_lost:
            return
        try:
            self._record(output)
        except CaptureError as error:
            self._refuse(error)

    def _refuse(self, error: CaptureError) -> None:
        self._is_lost = self._layer.goes_on(error)
        if not self._is_lost:
            raise error

    def _record(self, output: Any) -> None:
        seen, hidden = self._seen, self._hidden
        of_adapters = self._adapters.sources()
        if not seen and answering_hook(self._module) is not None:
            return
        used = [attention for attention in seen if attention.used]
        if any(attention.edited for attention in seen) or (seen and not used):
            raise UnobservedError(self._edited(seen))
        own = [attention for attention in used if id(attention) not in of_adapters]
        kind = "self2" if self._reads_places and self._layer.kind.startswith("cross") else None
        record = self._own_record(own, seen, hidden.shape[0])
        if self._is_checked and record.edited is None:
            self._check_order(own, record, output)
        self._layer.has_run()
        sightings = [Sighting(record, kind, edits=own[0].edits)]
        for attention in used:
            if id(attention) in of_adapters:
                kind, parts = of_adapters[id(attention)]
                sightings.append(Sighting(self._joined([attention], hidden.shape[0], seen), kind, parts))
        self._layer.receive(sightings, hidden)

    def close(self) -> None:
        """The module has run or has raised: nothing more is to be seen."""
        self._adapters.detach()
        self._order.detach()

    @property
    def _processor(self) -> str:
        return type(self._module.processor).__name__

    @property
    def _own_processor(self) -> str:
        return own_processor(self._module, self._layer.component)

    def _own_record(self, own: list[Attention], seen: list[Attention], rows: int) -> Record:
        if len(own) == 1 and "PAG" in self._processor and (part := own[0].query.shape[0]) < rows:
            # perturbed rows come last and attend to nothing: the identity stands in for their softmax
            return replace(self._joined(own, part, seen), rows=tuple(range(part)))
        return self._joined(own, rows, seen)

    def _joined(self, pieces: list[Attention], rows: int, seen: list[Attention]) -> Record:
        heads = int(self._module.heads)
        upcast = bool(getattr(self._module, "upcast_attention", False))
        record = joined_record(pieces, rows, heads, upcast=upcast)
        if record is None:
            raise UnobservedError(_unobserved(self._layer, seen))
        return replace(record, edited=pieces[0].after)  # whose P is edited is in one piece

    def _check_order(self, own: list[Attention], record: Record, output: Any) -> None:
        result = joined_result(own, record.query.shape[0], record.query.shape[1])
        with torch.no_grad():
            self._order.check(record, result, output, self._verdicts, self._refuse_order)
        self._verdicts.read()

    def _refuse_result(self) -> None:
        raise UnobservedError(
            f"{self._name} can't be recorded: what its processor {self._processor} computes is not the attention "
            "of the queries and keys that it hands over, as with dropout in training mode "
            f"(pipe.{self._layer.component}.eval())"
        )

    def _refuse_order(self, what: str) -> None:
        order = "in another order of rows, heads or places than"
        if what == "result":
            done = f"puts the result {order} the attention gave it"
        else:
            done = f"takes the {what} {order} the layer makes them"
        raise UnobservedError(
            f"{self._name} can't be recorded, its processor {described(self._module.processor)} {done}, so "
            f"it is unknown which belong together: use diffusers' own, `{self._own_processor}`"
        )

    def _edited(self, seen: list[Attention]) -> str:
        if any(attention.edited for attention in seen):
            what = "changes the attention probabilities before it uses them, as prompt-to-prompt does"
        elif any(attention.probability is not None for attention in seen):
            what = "multiplies its attention probabilities with V in a way that can't be followed"
        else:
            what = "uses none of the attentions that it computes"
        return (
            f"{self._name} can't be recorded, its processor {described(self._module.processor)} {what}, so its queries "
            f"and keys don't say what made the picture: use diffusers' own, `{self._own_processor}`"
        )


def _no_graph(name: str) -> str:
    return (
        f"{name} can't be recorded with grad=True, since nothing that it computes has a gradient: call the model with "
        "a latent or embeddings that require one"
    )


def _unobserved(layer: Observe, seen: list[Attention]) -> str:
    counts = Counter(tuple(attention.query.shape) for attention in seen)
    shapes = (f"{shape} {count} times" if count > 1 else str(shape) for shape, count in counts.items())
    why = unseen(layer.module, " and ".join(shapes), layer.component)
    return f"{layer.name} can't be observed, {why}"

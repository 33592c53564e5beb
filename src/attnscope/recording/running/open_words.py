"""The key projections of a pass: kept with its first call, taken back where a later one did not go by them."""

from __future__ import annotations

from collections.abc import Iterator

from attnscope.errors import CaptureError
from attnscope.recording.observing.key_projections import KeyProjections
from attnscope.recording.observing.observation import Sighting
from attnscope.recording.planning.modules import TappedLayer
from attnscope.records import TEXT_KINDS
from attnscope.storage.memory import Records


class OpenWords:
    """What a pass keeps for words that are not in its prompt.

    Args:
        wanted: Whether it keeps anything.
        is_first: Whether it is the capture's first pass, in which what can't be kept is refused.
    """

    def __init__(self, wanted: bool, *, is_first: bool) -> None:
        self._projections = KeyProjections()
        self.is_on, self._is_first = wanted, is_first
        self._lost: str | None = None
        self._is_kept = False

    def note_states(self, path: str, context: object) -> None:
        """An attention is about to run.

        Args:
            path: Its module's path.
            context: What it gets to look at.
        """
        if self.is_on:
            self._projections.note_states(path, context)

    def look(self, tapped: TappedLayer, sighting: Sighting) -> None:
        """An attention has run whose Q and K are kept.

        Args:
            tapped: Its layer.
            sighting: What it computed of all rows; an IP-Adapter's part is no text's.

        Raises:
            CaptureError: Its key projection can't be kept, in the first call of a run.
        """
        if not self.is_on or tapped.layer.kind not in TEXT_KINDS or sighting.kind is not None:
            return
        try:
            self._projections.look(tapped, sighting.record)
        except CaptureError as error:
            self._lose(error)

    def keep(self, records: Records) -> None:
        """A call was whole: keep the projections of the first.

        Args:
            records: The pass's records.

        Raises:
            CaptureError: A layer's keys are not what its projection makes.
        """
        if not self.is_on or self._is_kept:
            return
        try:
            self._projections.check()
            if not self._projections.known:
                raise CaptureError(
                    "open_words=True: no attention of this run read a text; capture without it"
                )
        except CaptureError as error:
            self._lose(error)
        else:
            records.keep_projections(dict(self._projections.known))
            self._is_kept = True

    def finish(self, records: Records) -> None:
        """The pass is over: take the projections back if they did not hold for all of it.

        Args:
            records: The pass's records.
        """
        if self.is_on and self._is_kept:
            self._lost = self._projections.why_lost()
            known = {layer: of for layer, of in self._projections.known.items() if layer in records.layers}
            if self._lost is not None or len(known) != len(records.projections):
                records.keep_projections({} if self._lost else known)

    def gaps(self) -> Iterator[str]:
        """Why nothing is kept although it was asked."""
        if self._lost is not None:
            yield self._lost

    def _lose(self, error: CaptureError) -> None:
        if self._is_first and not self._is_kept:
            raise error
        self.is_on, self._lost = False, f"no words that are not in the prompt can be read: {error}"

"""What one pass holds besides its attention: layers, steps, rows, prompts, words, pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from attnscope.errors import SelectionError, nearest
from attnscope.records import Call, Kind, Layer, Row, Run, Step, Token, TokenSpan
from attnscope.records.reduced import ReducedMaps
from attnscope.records.run import steps_of
from attnscope.storage.memory import MemoryRecords, Records
from attnscope.trace.layers import Layers
from attnscope.trace.tokens import find_span, prompt_words

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass
class Pass:
    """One call of a pipeline: its records, what is known of it, and the maps reduced over it."""

    records: Records = field(default_factory=MemoryRecords)
    run: Run = field(default_factory=Run)
    reduced: dict[str, ReducedMaps] = field(default_factory=dict)


class Contents:
    """What there is in the one pass that is meant."""

    @property
    def _only(self) -> Pass:
        """Raises SelectionError where there are several passes."""
        raise NotImplementedError

    @property
    def records(self) -> Records:
        """Where Q and K are."""
        return self._only.records

    @property
    def run(self) -> Run:
        """What is known of the run: model, prompts, seed, sizes ..."""
        return self._only.run

    @run.setter
    def run(self, run: Run) -> None:
        self._only.run = run

    @property
    def reduced(self) -> dict[str, ReducedMaps]:
        """Maps that `capture(keep=...)` reduced over the run, by their names there."""
        return self._only.reduced

    @reduced.setter
    def reduced(self, reduced: dict[str, ReducedMaps]) -> None:
        self._only.reduced = reduced

    @property
    def layers(self) -> Layers:
        """Captured layers in execution order: `layers[0]`, `layers[1, "self"]`, `layers["...attn1"]`."""
        return Layers(list(self.records.layers.values()))

    @property
    def calls(self) -> tuple[Call, ...]:
        """Calls of the model in the order in which they ran."""
        return tuple(self.records.calls)

    @property
    def steps(self) -> tuple[Step, ...]:
        """Denoising steps; each is one call of the model as a rule."""
        return steps_of(tuple(self.records.calls))

    @property
    def rows(self) -> tuple[Row, ...]:
        """Rows of the model's batch, as of the first step."""
        return self.steps[0].rows if self.records.calls else ()

    @property
    def branches(self) -> tuple[str, ...]:
        """Guidance branches in the model's order, e.g. ('uncond', 'cond')."""
        return tuple(dict.fromkeys(row.branch for call in self.calls for row in call.rows))

    @property
    def images(self) -> int:
        """How many images the batch has."""
        return len({row.image for row in self.rows}) or len(self.run.tokens)

    @property
    def picture(self) -> Image | None:
        """The first picture that the run made, when the capture saw it."""
        return self.picture_of(0)

    def picture_of(self, image: int) -> Image | None:
        """The picture that the run made of one image, None where the capture did not see it."""
        return self.run.pictures[image] if 0 <= image < len(self.run.pictures) else None

    def prompt(self, image: int = 0) -> str:
        """The prompt of one image; '' when the run got embeddings without one."""
        return self.run.prompts[image] if image < len(self.run.prompts) else ""

    def tokens(self, image: int = 0) -> tuple[Token, ...]:
        """Key positions of cross-attention; () when nothing is known of them."""
        return self.run.tokens[image] if image < len(self.run.tokens) else ()

    def words(self, image: int = 0) -> tuple[TokenSpan, ...]:
        """Words of the prompt with their token spans, in order."""
        return prompt_words(self.prompt(image), self.tokens(image))

    def span(self, word: str, *, image: int = 0, occurrence: int = 0) -> TokenSpan:
        """Token span of a word or phrase; WordError lists the nearest ones."""
        return find_span(self.prompt(image), self.tokens(image), word, occurrence=occurrence)

    def layer(self, block: int, kind: Kind) -> Layer:
        """The layer of a block and kind; SelectionError says which there are."""
        return self.layers[block, kind]

    def reduced_maps(self, name: str, kind: Kind) -> ReducedMaps:
        """Reduced maps by name; SelectionError when there are none, or of the other kind."""
        if name not in self.reduced:
            known = nearest(name, self.reduced) or "none; capture(keep={...}) makes them"
            raise SelectionError(f"reduced maps {name!r}: this trace has {known}")
        maps = self.reduced[name]
        if maps.order.kind != kind:
            raise SelectionError(
                f"reduced maps {name!r} are of {maps.order.kind}-attention, not of {kind}-attention"
            )
        return maps

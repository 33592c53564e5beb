"""What one pass holds besides its attention: layers, steps, rows, prompts, words, pictures."""

from __future__ import annotations

from dataclasses import dataclass, field

from attnscope.atlas.families import TRANSFORMERS
from attnscope.errors import SelectionError, nearest
from attnscope.records import Call, Kind, Layer, LayerId, Row, Run, Step, Token, TokenSpan
from attnscope.records.reduced import ReducedMaps
from attnscope.records.run import images_of, steps_of
from attnscope.storage.memory import MemoryRecords, Records
from attnscope.trace.layers import Layers
from attnscope.trace.pictures import Pictures
from attnscope.trace.selection import pick_name, pick_number
from attnscope.trace.step_rows import has_rows
from attnscope.trace.texts import read_text


@dataclass
class Pass:
    """What a trace holds of one pass.

    Attributes:
        records: Where Q and K are.
        run: What is known of the run: model, prompts, seed, sizes.
        reduced: Maps reduced over the run, by name.
    """

    records: Records = field(default_factory=MemoryRecords)
    run: Run = field(default_factory=Run)
    reduced: dict[str, ReducedMaps] = field(default_factory=dict)


class Contents(Pictures):
    """What one pass holds. A trace of several passes must be asked through one of its `passes`."""

    @property
    def _only(self) -> Pass:
        """The one pass. SelectionError if there are several."""
        raise NotImplementedError

    @property
    def records(self) -> Records:
        """Where Q and K are: in memory, on disk, or both."""
        return self._only.records

    @property
    def run(self) -> Run:
        """What is known of the run: model, prompts, seed, sizes and so on."""
        return self._only.run

    @run.setter
    def run(self, run: Run) -> None:
        self._only.run = run

    @property
    def reduced(self) -> dict[str, ReducedMaps]:
        """Maps that `capture(keep=...)` reduced over the run, by the names given there."""
        return self._only.reduced

    @reduced.setter
    def reduced(self, reduced: dict[str, ReducedMaps]) -> None:
        self._only.reduced = reduced

    @property
    def layers(self) -> Layers:
        """The captured layers in execution order: `layers[0]`, `layers[1, "self"]`, `layers["...attn1"]`."""
        return Layers(list(self.records.layers.values()))

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls of the model, in the order in which they ran."""
        return tuple(self.records.calls)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The denoising steps. Most samplers call the model once a step; see `Step.calls` for the others."""
        return steps_of(tuple(self.records.calls))

    def steps_with(self, layer: Layer, branch: str, image: int = 0) -> list[int]:
        """Numbers of the steps that have a layer and a branch: guidance may end early, and layers may be left out.

        Args:
            layer: One of `layers`.
            branch: Guidance branch.
            image: Number of the image in the batch.

        Raises:
            SelectionError: Several calls of a step look alike, such as the views of a panorama.
        """
        of_image = [(branch, image)]
        return [
            step.index
            for step in self.steps
            if has_rows(step, None, of_image, lambda call: self.records.has(call, layer.record_id))
        ]

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows of the model's batch, as of the first step's main call."""
        return self.steps[0].rows if self.records.calls else ()

    @property
    def branches(self) -> tuple[str, ...]:
        """The guidance branches in the model's order, such as ('uncond', 'cond')."""
        calls = sorted(
            self.calls, key=lambda call: not call.predicts
        )  # a look at one branch alone is no order
        return tuple(dict.fromkeys(row.branch for call in calls for row in call.rows))

    @property
    def images(self) -> int:
        """The number of images in the batch."""
        return len(images_of(self.calls)) or len(self.run.tokens)

    def prompt(self, image: int = 0, branch: str = "cond") -> str:
        """The text that a branch of one image reads; '' if the run got embeddings without one.

        Args:
            image: Which image of the batch, from 0.
            branch: Guidance branch: 'cond' reads the prompt, 'uncond' the negative prompt.
        """
        return read_text(self.run, branch, image).text or ""

    def tokens(self, image: int = 0, branch: str = "cond") -> tuple[Token, ...]:
        """The tokens of the text that a branch of one image reads: the keys of cross-attention; () if unknown.

        Args:
            image: Which image of the batch, from 0.
            branch: As for `prompt`.
        """
        return read_text(self.run, branch, image).tokens

    def words(self, image: int = 0, branch: str = "cond") -> tuple[TokenSpan, ...]:
        """The words of the text that a branch of one image reads, in order, with their tokens.

        Words that were cut off, for want of tokens, are left out. A picture such as an emoji is a word.

        Args:
            image: Which image of the batch, from 0.
            branch: As for `prompt`.
        """
        return read_text(self.run, branch, image).words

    def span(self, word: str, *, image: int = 0, occurrence: int = 0, branch: str | None = None) -> TokenSpan:
        """The tokens of a word or phrase.

        Args:
            word: As it stands in the prompt, in upper or lower case; or `<start>`, `<end>`, `<padding>`. Where it is no
                word, a part of words counts: photo in photo-realistic, any run of characters of a script without
                spaces. A part of a word in another script is refused.
            image: Which image of the batch, from 0.
            occurrence: Which one of several such words, from 0; -1 is the last.
            branch: As for `prompt`; 'cond' by default.

        Raises:
            WordError: The text lacks the word, the word was cut off, or the text or its tokens are unknown.
            SelectionError: The run has no such branch.
        """
        if branch is not None and self.calls:
            pick_name("branch", branch, self.branches)
        if self.images:
            pick_number("image", image, range(self.images))
        return read_text(self.run, branch or "cond", image).span(word, occurrence)

    def layer(self, block: int, kind: Kind) -> Layer:
        """One layer.

        Args:
            block: Block number, from 1.
            kind: 'self' or 'cross'.

        Raises:
            SelectionError: The trace has no such layer. The message lists those it has.
        """
        is_number = type(block) is int  # True is no block
        known = self.records.layers.get(LayerId(block, kind)) if is_number else None
        return known if known and known.frames == 1 else self.layers[block, kind]  # a video's frame by frame

    def layers_of_kind(self, *kinds: Kind) -> tuple[Layer, ...]:
        """All captured layers of some kinds, at least one; of joint attentions their parts, see `Layers.of_kind`.

        Args:
            kinds: 'self', 'cross' or rarer ones.

        Raises:
            SelectionError: There is none.
        """
        every = self.layers
        if layers := Layers(layer for kind in dict.fromkeys(kinds) for layer in every.of_kind(kind)):
            return tuple(layers)
        if not self.calls:
            raise SelectionError("this trace holds no Q and K: none of its steps was captured")
        if not every:
            raise SelectionError(
                "this trace holds no Q and K, only outputs of modules: capture without qk=False"
            )
        there = " and ".join(f"{kind}-attention" for kind in dict.fromkeys(layer.kind for layer in every))
        raise SelectionError(
            f"this trace holds no {kinds[0]}-attention, only {there}: {_why_none(self.run, kinds[0])}"
        )

    def reduced_maps(self, name: str, kind: Kind) -> ReducedMaps:
        """One set of reduced maps.

        Args:
            name: Its name in `capture(keep=...)`.
            kind: The kind that it must have, 'self' or 'cross'.

        Raises:
            SelectionError: The trace has no maps of this name, or they are of the other kind.
        """
        if name not in self.reduced:
            known = nearest(name, self.reduced) or "none; capture(keep={...}) makes them"
            raise SelectionError(f"reduced maps {name!r}: this trace has {known}")
        maps = self.reduced[name].checked()
        if maps.reduction.kind != kind:
            raise SelectionError(
                f"reduced maps {name!r} are of {maps.reduction.kind}-attention, not of {kind}-attention"
            )
        if not maps.maps:
            raise SelectionError(f"reduced maps {name!r}: no step was added to them")
        return maps


def _why_none(run: Run, kind: Kind) -> str:
    """Why a trace holds no attention of a kind, or what would keep it."""
    families = (family for family in TRANSFORMERS if family.id == run.family)
    if (instead := next((family.lacks(kind) for family in families), None)) is not None:
        return f"the model has {instead}"
    return "if the model has any, a capture without kind= and blocks= keeps it"

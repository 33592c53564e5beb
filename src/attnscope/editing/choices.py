"""Which layers, heads, steps and rows an edit is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields

from attnscope.errors import ParameterError
from attnscope.recording.planning.plan import Steps
from attnscope.records import Kind, Layer, is_kind
from attnscope.records.relations import as_kind

Words = str | int | Sequence[str | int]
"""A word of the prompt, the number of a token, or several of either."""


@dataclass(frozen=True, kw_only=True)
class Choices:
    """Which attention is meant. Choices that are left out are no limits.

    Attributes:
        block: Block numbers, from 1.
        kind: 'self', 'cross' or a rarer one. Of a joint attention 'self' and 'cross' are the parts from the image to
            the image and to the text; without a kind it is edited as a whole, or where the text is meant in that part.
        head: Head numbers, from 0.
        steps: Numbers of denoising steps, from 0, or a slice or range; negative ones count from the end.
        branch: Guidance branches, such as 'cond'. By default an edit of words is for the branches that read the
            prompt, and any other edit for all.
        image: Numbers of images in the batch.
    """

    block: int | Sequence[int] | None = None
    kind: Kind | None = None
    head: int | Sequence[int] | slice | None = None
    steps: Steps = None
    branch: str | Sequence[str] | None = None
    image: int | Sequence[int] | None = None

    @property
    def of_words(self) -> Words | None:
        """The words that it is about, None where it is about none."""
        return getattr(self, "words", None)

    @property
    def asked_kind(self) -> Kind | None:
        """The kind of attention that it is for: words are in that to the text."""
        return "cross" if self.kind is None and self.of_words is not None else self.kind

    def part_of(self, layer: Layer) -> Layer | None:
        """The layer, or the part of it, that is edited; None for another layer.

        Args:
            layer: A layer of the run.
        """
        return layer if self.asked_kind is None else as_kind(layer, self.asked_kind)

    def _check_choices(self) -> None:
        if self.kind is not None and not is_kind(self.kind):
            raise ParameterError(f"kind {self.kind!r}: expected 'self' or 'cross', or None for both")
        if self.kind is not None and self.kind.startswith("image"):
            raise ParameterError(f"kind {self.kind!r}: attention to an adapter's pictures can't be edited")

    def __str__(self) -> str:
        """As it was written, without what was left out."""
        said = []
        for field in sorted(fields(self), key=lambda field: field.kw_only is True):
            value = getattr(self, field.name)
            if field.default is MISSING or field.name == "words":
                said += [_brief(value)] if value is not None else []
            elif value is not field.default and not (_is_plain(value) and value == field.default):
                said.append(f"{field.name}={_brief(value)}")
        return f"{type(self).__name__}({', '.join(said)})"


def _is_plain(value: object) -> bool:
    """Whether a value is compared as a whole, and not number by number."""
    return not hasattr(value, "shape")


def _brief(value: object) -> str:
    if hasattr(value, "shape"):
        return f"<{'x'.join(map(str, value.shape))} {type(value).__name__}>"
    if callable(value):
        return getattr(value, "__qualname__", type(value).__name__)
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"

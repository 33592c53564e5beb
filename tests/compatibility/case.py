"""A case: one way of running diffusers, and what is true of it, written by hand after reading its source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from compatibility import truth

PROMPT = "a red cat and the star"
NEGATIVE = "the grass"
WORD, WORD_TOKENS = "cat", (3,)  # in a vocabulary where each of these words is one token

Rows = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Case:
    """One way of running diffusers.

    Attributes:
        name: Its row in the table.
        group: Its table.
        build: Makes the pipeline. Called twice, so two calls make the same.
        run: Calls the pipeline once and gives what it made.
        branches: Guidance branches in the batch's order. None: the model knows no guidance, any one name will do.
        images: Pictures in the batch.
        rows: In place of branches and images: the rows of call number n.
        steps: Denoising steps that the scheduler takes.
        mains: Which calls of the model predict the noise, one a step. None: all.
        word: What to draw a heat map of: a word, or a token number. None: nothing has cross-attention.
        tokens: Its tokens.
        watched: What is given to the capture.
        models: The denoising models whose attention is compared, in the order of their passes.
        keys: What a processor makes of the keys after to_k: (keys, path) to keys.
        rows_apart: Whether some layers compute attention for the first rows only.
        asked: Which pass is asked for heat map and segments.
        edit: What a processor makes of P before it uses it: P in float64 to P.
        options: Of the capture.
        tolerance: Of P, absolute.
        around: A context in which both runs happen.
        watch: What sees the attention of its models in a run of its own.
        counts: Which attentions are the model's, by their path.
    """

    name: str
    group: str
    build: Callable[[], Any]
    run: Callable[[Any], Any]
    branches: tuple[str, ...] | None = ("uncond", "cond")
    images: int = 1
    rows: Callable[[int], Rows] | None = None
    steps: int = 2
    mains: Callable[[int], list[int]] | None = None
    word: str | int | None = WORD
    tokens: tuple[int, ...] = WORD_TOKENS
    watched: Callable[[Any], Any] = lambda pipe: pipe
    models: Callable[[Any], list[Any]] = lambda pipe: [pipe.unet]
    keys: Callable[[Any, str], Any] | None = None
    asked: int = 0
    rows_apart: bool = False
    edit: Callable[[Any], Any] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    tolerance: float = 2e-6
    around: Callable[[], Any] | None = None
    watch: Callable[[list[Any]], Any] = truth.watched
    counts: Callable[[str], bool] = truth.is_of_unet

    def true_rows(self, call: int) -> Rows:
        """The rows of one call of the model.

        Args:
            call: Its number, from 0.
        """
        if self.rows is not None:
            return self.rows(call)
        return tuple((branch, image) for branch in self.branches or ("any",) for image in range(self.images))

    @property
    def is_partial(self) -> bool:
        """Whether the capture was asked to leave something out."""
        return any(name in self.options for name in ("steps", "blocks", "kind", "branch"))

    def kept_rows(self, call: int) -> Rows:
        """The rows of one call that the capture was asked to keep.

        Args:
            call: Its number, from 0.
        """
        branch = self.options.get("branch")
        return tuple(row for row in self.true_rows(call) if branch in (None, row[0]))

    def row_numbers(self, call: int, count: int) -> list[int]:
        """Which rows of the batch the kept ones are, where there are as many as are recorded; otherwise the first.

        Args:
            call: Number of the call, from 0.
            count: How many rows are recorded.
        """
        kept = [at for at, row in enumerate(self.true_rows(call)) if row in self.kept_rows(call)]
        return kept if len(kept) == count else list(range(count))


COLUMNS = ("capture", "picture unchanged", "rows right", "P right", "heat map", "segments")


@dataclass(frozen=True)
class Cell:
    """What came of one question.

    Attributes:
        verdict: 'right', 'refused' or 'wrong'.
        text: With what sentence, or what is wrong. Empty where all is right.
    """

    verdict: str
    text: str = ""

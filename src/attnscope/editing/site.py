"""One attention that is about to be edited: where rows, words and parts are in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.editing.choices import Choices, Words
from attnscope.errors import EditError, WordError
from attnscope.probability import reduce
from attnscope.probability.reference import materialised
from attnscope.recording.planning.plan import wanted_steps
from attnscope.records import Call, Layer, Row, Run
from attnscope.records.qkv import Record
from attnscope.records.run import text_of_branch
from attnscope.trace.selection import pick_number
from attnscope.trace.texts import read_text


class Part(NamedTuple):
    """The queries and keys of an attention that an edit is about.

    Attributes:
        queries: Numbers of its queries.
        keys: Numbers of its keys.
        layer: The layer that they are: all of the attention's, or a part.
    """

    queries: range
    keys: range
    layer: Layer


@dataclass(frozen=True)
class Site:
    """One attention that is about to be computed.

    Attributes:
        record: Its Q, K and mask; all rows of the call.
        layer: The layer.
        call: The call of the model.
        run: What is known of the run: texts, tokens, planned steps.
    """

    record: Record
    layer: Layer
    call: Call
    run: Run
    _means: dict[Any, Tensor] = field(default_factory=dict, repr=False)

    def part(self, edit: Choices) -> Part:
        """The queries and keys that an edit is about.

        Args:
            edit: An edit that is for this layer.
        """
        layer = edit.part_of(self.layer)
        assert layer is not None
        queries, keys = (0, 0) if layer.view is None else layer.view.at(0)
        return Part(range(queries, queries + layer.queries), range(keys, keys + layer.keys), layer)

    def heads(self, edit: Choices) -> tuple[int, ...]:
        """Numbers of the heads that an edit is for.

        Args:
            edit: The edit.

        Raises:
            SelectionError: The layer has no such head.
        """
        return tuple(pick_number("head", edit.head, range(self.layer.heads)).positions)

    def rows(self, edit: Choices) -> list[int]:
        """Numbers of the rows that an edit is for. Prompts of a batch that lack its words are left alone.

        Args:
            edit: The edit.

        Raises:
            WordError: No prompt has its words, or that of an image that was chosen lacks them.
        """
        chosen = self._chosen_rows(edit)
        if edit.of_words is None:
            return chosen
        having, lacking = [], None
        for row in chosen:
            try:
                tokens_of(edit.of_words, self.run, self.call.rows[row])
                having.append(row)
            except WordError as error:
                lacking = lacking or error
        if lacking and (edit.image is not None or not having):
            raise lacking
        return having

    def _chosen_rows(self, edit: Choices) -> list[int]:
        rows = self.call.rows
        images = None if edit.image is None else _numbers(edit.image)
        chosen = [edit.branch] if isinstance(edit.branch, str) else edit.branch
        return [
            at
            for at, row in enumerate(rows)
            if (images is None or row.image in images)
            and (_reads_prompt(edit, row) if chosen is None else row.branch in chosen)
        ]

    def row_of(self, branch: str, image: int) -> int | None:
        """Number of the row of a branch of an image; None if this call has no such row.

        Args:
            branch: Guidance branch.
            image: Number of the image.
        """
        return next(
            (at for at, row in enumerate(self.call.rows) if (row.branch, row.image) == (branch, image)), None
        )

    def columns(self, edit: Choices, part: Part, row: int) -> Any:
        """The keys that an edit is about: those of its words in the text that a row reads, or all of the part.

        Args:
            edit: The edit.
            part: What it is about.
            row: Number of the row.

        Raises:
            WordError: The text lacks a word.
        """
        if edit.of_words is None:
            return slice(part.keys.start, part.keys.stop)
        tokens = tokens_of(edit.of_words, self.run, self.call.rows[row])
        return [part.keys.start + token for token in tokens]

    # Its numbers

    def mean_over_queries(
        self, row: int, heads: tuple[int, ...], queries: range
    ) -> Float[Tensor, "head key"]:
        """Of each head, what queries give to each key on average.

        Args:
            row: Number of the row.
            heads: Numbers of heads.
            queries: Numbers of queries.
        """
        at = row, heads, queries
        if at not in self._means:
            tile = slice(queries.start, queries.stop)
            q, k = of_heads(self.record.query, row, heads)[:, tile], of_heads(self.record.key, row, heads)
            mask = self._mask(row, heads, tile)
            self._means[at] = reduce(q, k, scale=self.record.scale, mask=mask, over=("query",))
        return self._means[at]

    def even(self, row: int, heads: tuple[int, ...], queries: slice) -> Float[Tensor, "head query key"]:
        """Attention that looks at all visible keys alike.

        Args:
            row: Number of the row.
            heads: Numbers of heads.
            queries: Numbers of queries.
        """
        q, k = of_heads(self.record.query, row, heads)[:, queries], of_heads(self.record.key, row, heads)
        nothing = (torch.zeros_like(tensor[..., :1]) for tensor in (q, k))
        return materialised(*nothing, scale=1.0, mask=self._mask(row, heads, queries))

    def _mask(self, row: int, heads: tuple[int, ...], queries: slice) -> Tensor | None:
        if self.record.mask is None:
            return None
        mask = self.record.mask[row if self.record.mask.shape[0] > 1 else 0]
        mask = mask[list(heads)] if mask.shape[0] > 1 else mask
        return mask[:, queries] if mask.shape[1] > 1 else mask


def of_heads(tensor: Tensor, row: int, heads: tuple[int, ...]) -> Tensor:
    """Some heads of one row.

    Args:
        tensor: (row, head, place, dim).
        row: Number of the row.
        heads: Numbers of the heads.
    """
    return tensor[row] if len(heads) == tensor.shape[1] else tensor[row][list(heads)]


def is_in_step(edit: Choices, call: Call, run: Run) -> bool:
    """Whether an edit is for the step that goes on.

    Args:
        edit: The edit.
        call: The call of the model.
        run: The run.

    Raises:
        ParameterError: A step counts from an end that is unknown.
    """
    return call.step in wanted_steps(edit.steps, run.planned_steps, strict=False)


def tokens_of(words: Words, run: Run, row: Row) -> list[int]:
    """Numbers of the tokens of words in the text that a row reads.

    Args:
        words: Words or numbers.
        run: The run, whose texts are known.
        row: The row.

    Raises:
        WordError: The text lacks a word.
        EditError: It has no such token.
    """
    text = read_text(run, row.branch, row.image)
    found: list[int] = []
    for word in [words] if isinstance(words, (str, int)) else words:
        if isinstance(word, str):
            found += text.span(word).tokens
            continue
        if not 0 <= word < len(text.tokens):
            raise EditError(f"token {word}: the text has tokens 0 to {len(text.tokens) - 1}")
        found.append(word)
    return sorted(set(found))


def _numbers(choice: object) -> list[int]:
    return [choice] if isinstance(choice, int) else list(choice)  # type: ignore[call-overload]


def _reads_prompt(edit: Choices, row: Row) -> bool:
    return edit.of_words is None or text_of_branch(row.branch) in (None, "prompt")

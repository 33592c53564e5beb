"""Which guidance branch and which image each row of the model's batch is.

The user's names count first. Then what is known of the pipeline's layout, where its embeddings would mislead; the text
embedding that a row carries; what is known of the pipeline otherwise. Nothing is guessed from the size of the batch.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import islice

import torch
from torch import Tensor, nn

from attnscope.atlas.families import Family
from attnscope.errors import CaptureError, ParameterError
from attnscope.recording.calling.callers import Asking, Batch, Caller
from attnscope.recording.calling.held_rows import held_branches
from attnscope.recording.calling.known_rows import is_above_embeddings, is_unguided, layout_of
from attnscope.recording.calling.pipeline_call import PipelineCall
from attnscope.records import Row


class RowFinder:
    """Finds the rows of every call of one run. Embeddings are compared once for each tensor that the model gets.

    Args:
        branch_names: The user's names for the branches, in the batch's order. None: the pipeline tells them.
        family: The model's family.
        model: The model.
    """

    def __init__(self, branch_names: Sequence[str] | None, family: Family, model: nn.Module) -> None:
        self._branch_names, self._family, self._model = branch_names, family, model
        self._known: tuple[Batch | None, tuple[Row, ...]] = (None, ())
        self._of_first_call: Batch | None = None
        self._version = 0

    def of(self, asked: Asking, call: PipelineCall | None, turn: int = 0) -> tuple[Row, ...]:
        """The rows of one batch.

        Args:
            asked: What the model is called with.
            call: What is known of the pipeline's call, None for a bare model.
            turn: How many calls of the step came before.

        Raises:
            CaptureError: Nothing tells which row is which.
            ParameterError: The user's names are not different names.
        """
        count, embeddings, caller = asked.rows, asked.conditioning, asked.caller
        if self._branch_names is not None:
            self._must_be_of_one_text(embeddings, turn)
            return named_rows(count, self._branch_names)
        if held := held_branches(self._family, caller, embeddings, turn):
            return named_rows(count, held)
        layout = _layout(caller, self._model)
        if layout and caller is not None and is_above_embeddings(caller):
            return named_rows(count, layout)
        if rows := self._carried(count, embeddings, call):
            return rows
        if layout:
            return self._changed(embeddings, named_rows(count, layout))
        if self._are_images(count, embeddings, caller):
            return named_rows(count, ("cond",))
        _, known_rows = self._known
        if len(known_rows) == count and (caller is None or caller.is_direct):
            return self._changed(embeddings, known_rows)
        return self._refuse(count, caller)

    def _must_be_of_one_text(self, embeddings: Batch | None, turn: int) -> None:
        """A step may have a call for each branch; the user's names are those of one call's rows."""
        if turn == 0:
            self._of_first_call = embeddings
        elif not _alike(embeddings, self._of_first_call):
            raise CaptureError(
                "a call has other texts than the first one of its step, and branches= names the rows of the "
                "first: this pipeline calls its model once for each branch"
            )

    def _carried(
        self, count: int, embeddings: Batch | None, call: PipelineCall | None
    ) -> tuple[Row, ...] | None:
        """The rows by the text embeddings that they carry."""
        if call is None or not isinstance(embeddings, Tensor) or call.is_unclear or not call.conditions:
            return None
        known_embeddings, known_rows = self._known
        if embeddings is known_embeddings and _version(embeddings) == self._version:
            return known_rows
        copies, rest = divmod(embeddings.shape[0], count)  # of each frame of a video
        rows = None if rest else matched_rows(embeddings[::copies], call.conditions)
        if rows is not None:
            self._known, self._version = (embeddings, rows), _version(embeddings)
        return rows

    def _are_images(self, count: int, embeddings: Batch | None, caller: Caller | None) -> bool:
        """Whether all rows are images of one branch: there is no guidance, or nothing to guide by."""
        if caller is not None:
            return caller.is_direct and is_unguided(caller)
        return count == 1 or embeddings is None

    def _changed(self, embeddings: Batch | None, rows: tuple[Row, ...]) -> tuple[Row, ...]:
        """Rows whose text embeddings are not those of the prompt any more."""
        known_embeddings, known_rows = self._known
        if known_rows and embeddings is not known_embeddings:
            warnings.warn(
                "the text embeddings changed during the run (a callback edits them): rows keep the branches that they "
                "had, and words are those of the prompt as it was encoded",
                stacklevel=2,
            )
        if known_rows:
            self._known, self._version = (embeddings, rows), _version(embeddings)
        return rows

    def _refuse(self, count: int, caller: Caller | None) -> tuple[Row, ...]:
        who = (
            f"the {self._family.name} was called by hand"
            if caller is None
            else f"{type(caller.pipeline).__name__} runs"
        )
        images = " if it is an image" if count == 1 else f" if they are {count} images"
        raise CaptureError(
            f"{who} with a batch of {count} row(s), and nothing tells which guidance branch each of them is. Name them "
            f"in the batch's order, such as branches={example_branches(count)}, or branches=('cond',){images}"
        )


def _layout(caller: Caller | None, model: nn.Module) -> tuple[str, ...]:
    """The branches that a known pipeline puts into its batch; () where it is not known or does not call itself."""
    layout = layout_of(caller, model) if caller is not None and caller.is_direct else None
    return () if layout is None or caller is None else layout(caller.pipeline, caller.variables)


def example_branches(count: int) -> tuple[str, ...]:
    """Names that a batch of this many rows may have, for a message.

    Args:
        count: How many rows.
    """
    if count % 2 == 0:
        return ("uncond", "cond")
    return ("uncond", "cond", "image", *(f"edit{number}" for number in range(count - 3)))[:count]


def named_rows(count: int, branches: Sequence[str]) -> tuple[Row, ...]:
    """Rows of a batch that holds these branches one after the other, each with all images.

    Args:
        count: How many rows the batch has.
        branches: Names of the branches.

    Raises:
        ParameterError: The names are not different, or there are none.
        CaptureError: The rows can't be divided among the branches.
    """
    if isinstance(branches, str) or len(set(branches)) != len(branches) or not branches:
        raise ParameterError(
            f"branches {branches if isinstance(branches, str) else list(branches)}: expected different names, one for "
            "each guidance row, such as ('uncond', 'cond')"
        )
    images, rest = divmod(count, len(branches))
    if rest or not images:
        raise CaptureError(
            f"the model got {count} rows, which can't be divided into {len(branches)} branches "
            f"({', '.join(branches)}); name every guidance row of one image in branches=, in the order of "
            "the batch"
        )
    return tuple(Row(branch, image) for branch in branches for image in range(images))


def matched_rows(embeddings: Tensor, conditions: Sequence[tuple[str, Tensor]]) -> tuple[Row, ...] | None:
    """Rows by their text embeddings; None if a row carries none of the conditions.

    Args:
        embeddings: What the model got, (row, token, channel).
        conditions: Branch names, each with what the pipeline encoded for it, (image, token, channel). Their order is
            the batch's usual one. It decides where two branches have the same text and both are in the batch.
    """
    free = [
        (Row(branch, image), encoded[image].to(embeddings))
        for branch, encoded in conditions
        for image in range(encoded.shape[0])
    ]
    rows: list[Row] = []
    is_part = len(embeddings) < len(free)
    for embedding in embeddings:
        same = (at for at, (_, encoded) in enumerate(free) if _same(embedding, encoded))
        alike = list(islice(same, None if is_part else 1))
        is_open = is_part and len({free[at][0].branch for at in alike}) > 1
        if not alike or is_open:
            return None
        rows.append(free.pop(alike[0])[0])
    return tuple(rows)


def _alike(one: Batch | None, other: Batch | None) -> bool:
    """Whether two calls have the same texts."""
    if one is None or other is None or one is other:
        return one is other
    return len(one) == len(other) and all(map(_same, one, other))


def _version(embeddings: Batch | None) -> int:
    """Grows when the tensor is changed in place, where torch counts that."""
    if not isinstance(embeddings, Tensor) or embeddings.is_inference():
        return 0
    return embeddings._version


def _same(embedding: Tensor, encoded: Tensor) -> bool:
    return embedding.shape == encoded.shape and torch.equal(embedding, encoded)

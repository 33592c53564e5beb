"""Which guidance branch and which image each row of the U-Net's batch is.

Known from the pipeline's own call: a row is the branch and the image whose text embedding it carries.
Nothing is guessed from the size of the batch.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from attnscope.errors import CaptureError, ParameterError
from attnscope.recording.pipeline_watch import PipelineWatch
from attnscope.records import Row


class RowFinder:
    """Finds the rows of every call of one run. Embeddings are compared once for each tensor that the model gets.

    Args:
        branch_names: The user's names for the branches, in the batch's order. None: the pipeline tells them.
        watch: The pipeline's watch, None for a bare model.
    """

    def __init__(self, branch_names: Sequence[str] | None, watch: PipelineWatch | None) -> None:
        self._branch_names, self._watch = branch_names, watch
        self._known: tuple[Tensor | None, tuple[Row, ...]] = (None, ())

    def of(self, count: int, embeddings: Tensor | None) -> tuple[Row, ...]:
        """The rows of one batch.

        Args:
            count: How many rows it has.
            embeddings: The text embeddings that the model got.

        Raises:
            CaptureError: Nothing tells which row is which.
            ParameterError: The user's names are not different names.
        """
        if self._branch_names is not None:
            return named_rows(count, self._branch_names)
        if self._watch is not None and self._watch.call.is_unclear:
            raise CaptureError(
                f"{type(self._watch.pipeline).__name__} encoded more than one prompt, so which guidance branch each of "
                f"the {count} rows of the model's batch is can't be told: name them in the batch's order, e.g. "
                "capture(pipe, branches=('uncond', 'cond'))"
            )
        if self._watch is None or not (self._watch.call.conditions or self._watch.guided):
            return named_rows(count, ("cond",))
        known_embeddings, known_rows = self._known
        if embeddings is not None and embeddings is known_embeddings:
            return known_rows
        rows = matched_rows(embeddings, self._watch.call.conditions) if embeddings is not None else None
        if rows is None and len(known_rows) == count:
            rows = known_rows
            warnings.warn(
                "the text embeddings changed during the run (a callback edits them): rows keep the branches "
                "that they had",
                stacklevel=2,
            )
        if rows is None:
            raise CaptureError(
                f"can't tell which guidance branch each of the {count} rows of the U-Net's batch is: none of the "
                f"pipeline's text embeddings is in them. Name them in the batch's order, e.g. "
                f"capture(pipe, branches=('uncond', 'cond'))"
            )
        self._known = (embeddings, rows)
        return rows


def named_rows(count: int, branches: Sequence[str]) -> tuple[Row, ...]:
    """Rows of a batch that holds these branches one after the other, each with all images.

    Args:
        count: How many rows the batch has.
        branches: Names of the branches.

    Raises:
        ParameterError: The names are not different, or there are none.
        CaptureError: The rows can't be divided among the branches.
    """
    if len(set(branches)) != len(branches) or not branches:
        raise ParameterError(
            f"branches {list(branches)}: expected different names, one for each guidance row"
        )
    images, rest = divmod(count, len(branches))
    if rest or not images:
        raise CaptureError(
            f"the U-Net got {count} rows, which can't be {len(branches)} branches ({', '.join(branches)}); "
            "name every guidance row of one image in branches=, in the order of the batch"
        )
    return tuple(Row(branch, image) for branch in branches for image in range(images))


def matched_rows(embeddings: Tensor, conditions: Sequence[tuple[str, Tensor]]) -> tuple[Row, ...] | None:
    """Rows by their text embeddings; None if a row carries none of the conditions.

    Args:
        embeddings: What the model got, (row, token, channel).
        conditions: Branch names, each with what the pipeline encoded for it, (image, token, channel). Their order is
            the batch's usual one. It decides where two branches have the same text.
    """
    free = [
        (Row(branch, image), encoded[image].to(embeddings))
        for branch, encoded in conditions
        for image in range(encoded.shape[0])
    ]
    rows = []
    for embedding in embeddings:
        at = next((i for i, (_, encoded) in enumerate(free) if _same(embedding, encoded)), None)
        if at is None:
            return None
        rows.append(free.pop(at)[0])
    return tuple(rows)


def _same(embedding: Tensor, encoded: Tensor) -> bool:
    return embedding.shape == encoded.shape and torch.equal(embedding, encoded)

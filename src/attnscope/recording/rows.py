"""Which guidance branch and which image each row of the U-Net's batch is.

Known from the pipeline's own call: a row is the branch and the image whose text embedding it carries.
Nothing is guessed from the size of the batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from attnscope.errors import CaptureError, ParameterError
from attnscope.records import Row


def named_rows(count: int, branches: Sequence[str]) -> tuple[Row, ...]:
    """Rows of a batch that holds these branches one after the other, each with all images."""
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
    """Rows by their text embeddings; None if some row carries none of the conditions.

    embeddings: what the U-Net got, (row, token, channel). conditions: branch name and what the
    pipeline encoded for it, (image, token, channel), in the usual order of a batch: where two
    branches have the same text (both empty), that order decides.
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


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one, other)

"""Files of an evaluation, one for each picture and recipe, whole or not at all: a second start goes on from them."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from attnscope.evaluation.edges import EdgeCounts
from attnscope.files import whole_file
from attnscope.segmentation.result import Evidence

Made = TypeVar("Made")
_BROKEN = (OSError, LookupError, TypeError, ValueError, EOFError, zipfile.BadZipFile)
"""What reading a file gives that this program did not write, or not to its end."""


@dataclass(frozen=True, eq=False)
class Counted:
    """What was counted of one picture.

    Attributes:
        labels: The segment of every pixel at the size of comparison.
        table: Pixels of each class in each segment.
        lines: Pixels on lines.
        facts: seconds, segments, recipe, the key ...
    """

    labels: np.ndarray
    table: np.ndarray
    lines: EdgeCounts
    facts: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write it.

        Args:
            path: Ends in .npz.
        """
        with whole_file(path) as partial:
            np.savez_compressed(
                partial,
                labels=self.labels.astype(np.uint16),
                table=self.table,
                lines=np.array(self.lines),
                facts=np.array(json.dumps(self.facts)),
            )


def read_counted(path: Path, key: str) -> Counted | None:
    """What was counted of a picture before, if it was the same picture, truth and recipe.

    Args:
        path: Its file.
        key: What it has to be of.
    """
    return _read(
        path,
        key,
        lambda kept, facts: Counted(
            kept["labels"], kept["table"], EdgeCounts(*map(int, kept["lines"])), facts
        ),
    )


def save_evidence(evidence: Evidence, path: Path, key: str) -> None:
    """Write a picture's attention, so that other thresholds need no pass.

    Args:
        evidence: Of the picture; all but the picture itself is kept.
        path: Ends in .npz.
        key: Of the picture and of what the pass depends on.
    """
    facts = {"key": key, "size_hw": evidence.size_hw, "words": evidence.words, "model": evidence.model}
    arrays = {"aggregated": evidence.aggregated.float().numpy(force=True)}
    if evidence.word_maps is not None:
        arrays["word_maps"] = evidence.word_maps.float().numpy(force=True)
    if evidence.features is not None:
        arrays["features"] = evidence.features.float().numpy(force=True)
    with whole_file(path) as partial:
        np.savez(partial, facts=np.array(json.dumps(facts)), **arrays)  # type: ignore[arg-type]


def read_evidence(path: Path, key: str) -> Evidence | None:
    """The attention that was kept of a picture, if it is the same picture and pass.

    Args:
        path: Its file.
        key: What it has to be of.
    """
    return _read(path, key, _evidence)


def _evidence(kept: Mapping[str, np.ndarray], facts: dict[str, Any]) -> Evidence:
    return Evidence(
        torch.from_numpy(kept["aggregated"]),
        tuple(facts["size_hw"]),
        words=tuple(facts["words"]),
        word_maps=torch.from_numpy(kept["word_maps"]) if "word_maps" in kept else None,
        model=facts["model"],
        features=torch.from_numpy(kept["features"]) if "features" in kept else None,
    )


def _read(path: Path, key: str, made: Callable[[Any, dict[str, Any]], Made]) -> Made | None:
    """What is made of a file's arrays and facts; None if it is not there, broken, or of something else."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            facts = json.loads(str(kept["facts"]))
            return made(kept, facts) if facts["key"] == key else None
    except _BROKEN:
        return None


def digest(facts: Mapping[str, Any]) -> str:
    """A short name for settings, the same in every process.

    Args:
        facts: Plain values.
    """
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def bytes_in(folder: Path) -> int:
    """Bytes of all files in a folder and below.

    Args:
        folder: One that need not exist.
    """
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

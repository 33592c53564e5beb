"""An evaluation's result: scores by protocol, what they are of, what it took, and which pictures went how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from attnscope._version import __version__
from attnscope.evaluation.assigning import MEANING
from attnscope.evaluation.datasets import Dataset
from attnscope.evaluation.preparing import PREPARATIONS
from attnscope.evaluation.published import PUBLISHED, Published
from attnscope.evaluation.scoring import Scores

NUMBERS_MEAN_NOTHING = (
    "Segments have no words here, so a segment's number means nothing from one picture to the next, and one assignment "
    "for all pictures scores little more than the numbers' order. Give words (labels) for a dataset-wide score."
)


@dataclass(frozen=True, eq=False)
class Example:
    """A picture that stands for others.

    Attributes:
        rank: 'best', 'median' or 'worst' by mean IoU over the picture's own classes.
        name: The sample's.
        miou: That number, per-image.
        boundary_f: F of its lines.
        segments: How many.
        drawn: Picture, truth and segments side by side.
    """

    rank: str
    name: str
    miou: float
    boundary_f: float
    segments: int
    drawn: Image.Image


@dataclass(frozen=True)
class Tried:
    """A threshold tried on the same attention.

    Attributes:
        thresholds: tau, or 'auto'.
        protocol: By which it was scored.
        accuracy: 0..1.
        miou: 0..1.
        boundary_f: 0..1.
        segments: Mean number of segments.
    """

    thresholds: Any
    protocol: str
    accuracy: float
    miou: float
    boundary_f: float
    segments: float


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of a data set and all that they depend on.

    Attributes:
        dataset: With the pictures that were judged.
        model: Its name.
        preparation: Its name.
        settings: Of `attnscope.segment`.
        scores: By protocol.
        tried: Other thresholds.
        examples: Best, median and worst picture.
        failed: (picture, message) of those that could not be segmented; they are in no number.
        seconds: Of a picture's segments with its pass: median, mean and total, of all starts together.
        segments: Mean number of segments.
        kept_bytes: What is kept on disk: 'counted' and 'attention'.
        machine: Where it ran.
    """

    dataset: Dataset
    model: str
    preparation: str
    settings: Mapping[str, Any]
    scores: Mapping[str, Scores]
    tried: tuple[Tried, ...]
    examples: tuple[Example, ...]
    failed: tuple[tuple[str, str], ...]
    seconds: Mapping[str, float]
    segments: float
    kept_bytes: Mapping[str, int]
    machine: str

    def __repr__(self) -> str:
        told = "; ".join(repr(scores) for scores in self.scores.values())
        return f"<Evaluation of {self.model} on {self.dataset.title}: {told}>"

    @property
    def pictures(self) -> int:
        """How many were scored."""
        return len(self.dataset) - len(self.failed)

    @property
    def published(self) -> tuple[Published, ...]:
        """What papers say of the data set."""
        return PUBLISHED.get(self.dataset.name, ())

    @property
    def notes(self) -> list[str]:
        """What a reader of the numbers should know, in sentences."""
        dataset, told = self.dataset, [f"{name}: {MEANING[name]}" for name in self.scores]
        if "dataset" in self.scores and not self.settings.get("labels"):
            told.append(NUMBERS_MEAN_NOTHING)
        if dataset.whole > len(dataset):
            told.append(
                f"Only {len(dataset):,} of {dataset.whole:,} pictures: not comparable with published rows."
            )
        if dataset.note:
            told.append(dataset.note)
        if self.tried:
            told.append(
                "Thresholds were tried on the very pictures that they are scored on: the best row flatters."
            )
        told.append(
            "Where several assignments are equally good, scipy's solver on a table of classes x max(classes, segments) "
            "decides; mIoU depends on it in the 4th digit."
        )
        if self.failed:
            told.append(f"{len(self.failed):,} pictures could not be segmented and are in no number.")
        return told

    def facts(self) -> dict[str, str]:
        """What the numbers are of, as short texts."""
        settings = ", ".join(f"{name}={_short(value)}" for name, value in self.settings.items())
        return {
            "Data set": self.dataset.title,
            "Pictures": f"{self.pictures:,}",
            "Model": self.model,
            "Protocols": ", ".join(self.scores),
            "Preparation": f"{self.preparation}: {PREPARATIONS[self.preparation].about}",
            "Settings": settings or "defaults",
            "Seconds a picture": f"{self.seconds['median']:.2f} (median)",
            "Segments a picture": f"{self.segments:.1f} (mean)",
            "Kept on disk": ", ".join(
                f"{name} {size / 1e6:,.1f} MB" for name, size in self.kept_bytes.items()
            ),
            "Machine": self.machine,
        }

    def to_dict(self) -> dict[str, Any]:
        """All numbers, as plain values for JSON."""
        return {
            "attnscope": __version__,
            "dataset": {"name": self.dataset.name, "title": self.dataset.title, "pictures": self.pictures},
            "model": self.model,
            "preparation": {"name": self.preparation, "about": PREPARATIONS[self.preparation].about},
            "settings": dict(self.settings),
            "scores": {name: scores.to_dict(self.dataset.classes) for name, scores in self.scores.items()},
            "tried": [vars(each) for each in self.tried],
            "published": [row._asdict() for row in self.published],
            "examples": [
                {name: value for name, value in vars(each).items() if name != "drawn"}
                for each in self.examples
            ],
            "failed": [{"picture": name, "error": message} for name, message in self.failed],
            "seconds": dict(self.seconds),
            "segments": self.segments,
            "kept_bytes": dict(self.kept_bytes),
            "machine": self.machine,
            "notes": self.notes,
        }


def _short(value: Any) -> str:
    return f"{len(value)} words" if isinstance(value, (list, tuple)) and len(value) > 4 else str(value)


def per_cent(number: float) -> str:
    """A share as text.

    Args:
        number: 0..1, or NaN.
    """
    return "–" if np.isnan(number) else f"{100 * number:.1f}"

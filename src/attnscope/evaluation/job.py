"""One picture of a data set, segmented and counted: a job for any engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from attnscope.errors import ParameterError
from attnscope.evaluation.counting import count_table
from attnscope.evaluation.datasets import DRAWN, Dataset, Sample, picture_of, truth_of
from attnscope.evaluation.edges import edge_counts
from attnscope.evaluation.kept import Counted, digest, read_counted, read_evidence, save_evidence
from attnscope.evaluation.preparing import preparation
from attnscope.jobs.job import Item
from attnscope.pictures.reading import load_picture
from attnscope.pipelines import load_pipeline
from attnscope.segmentation.methods import looks_at_features, recipe_for
from attnscope.segmentation.recipe import Recipe, as_dict
from attnscope.segmentation.result import Evidence, Segmentation
from attnscope.segmentation.segment import segment
from attnscope.segmentation.words import asked_words

FORMAT = 1
"""Of the files; another number makes all of them anew."""
OF_THE_PASS = ("labels", "prompt", "preset", "weights", "crop", "timestep", "noise_seed", "features")
"""Keywords of `attnscope.segment` that attention depends on; the others are the recipe's, as preset is, too."""


@dataclass(frozen=True, eq=False)
class EvaluationJob:
    """Segments of a data set's pictures by one or more recipes, counted against the truth. Plain data.

    Attributes:
        dataset: The pictures.
        folder: Where files go: counted/ and attention/.
        model: Name of the model, which each worker loads.
        preparation: Name of the preparation.
        settings: Keywords of `attnscope.segment`.
        thresholds: Instead of the settings' own, to try from the same attention.
        keep: Keep each picture's attention.
        loading: Keywords of `attnscope.load_pipeline`.
    """

    dataset: Dataset
    folder: str
    model: str = "demo"
    preparation: str = "own"
    settings: Mapping[str, Any] = field(default_factory=dict)
    thresholds: tuple[Any, ...] = ()
    keep: bool = False
    loading: Mapping[str, Any] = field(default_factory=dict)

    def items(self) -> list[Item]:
        """What there is to do, done or not."""
        return [Item(sample.name, sample.picture) for sample in self.dataset.samples]

    def variants(self) -> list[Mapping[str, Any]]:
        """The settings themselves, and then with each of the other thresholds."""
        return [self.settings, *({**self.settings, "thresholds": each} for each in self.thresholds)]

    def open(self) -> Callable[[Item], dict[str, Any]]:
        """What segments and counts an item. The model is loaded at once, unless no picture needs a pass."""
        pipe = cache(lambda: load_pipeline(self.model, **self.loading))
        if any(self._needs_a_pass(item) for item in self.items()):
            pipe()  # a model that can't be loaded is one error, not one for each picture
        return partial(_one, self, pipe)

    def _needs_a_pass(self, item: Item) -> bool:
        return not (self.attention_file(item.name).is_file() or self.is_done(item))

    def is_done(self, item: Item) -> bool:
        """Whether each variant's file is there, made of this picture, this truth and these settings.

        Args:
            item: One of `items`.
        """
        return not any(self.counted(item.name, variant) is None for variant in self.variants())

    def counted(self, name: str, variant: Mapping[str, Any]) -> Counted | None:
        """What was counted of a picture, None if not yet.

        Args:
            name: The sample's.
            variant: One of `variants`.
        """
        return read_counted(self.file(name, variant), self.key(name))

    def file(self, name: str, variant: Mapping[str, Any]) -> Path:
        """Where it is written.

        Args:
            name: The sample's.
            variant: One of `variants`.
        """
        return Path(self.folder, "counted", digest(self._said(variant)), f"{name}.npz")

    def attention_file(self, name: str) -> Path:
        """Where a picture's attention is kept.

        Args:
            name: The sample's.
        """
        own = {name: value for name, value in self.settings.items() if name in OF_THE_PASS}
        if looks_at_features(method := self.settings.get("method")):
            own["method"] = method  # its pass has features, and another timestep
        return Path(self.folder, "attention", digest(self._said(own)), f"{name}.npz")

    def _said(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """All that a result depends on, but the picture and its truth."""
        return {
            "format": FORMAT,
            "dataset": self.dataset.name,
            "classes": self.dataset.classes,
            "mapping": self.dataset.mapping,
            "model": self.model,
            "loading": dict(self.loading),
            "preparation": self.preparation,
            "settings": dict(settings),
        }

    def key(self, name: str) -> str:
        """Of a picture and its mask: their paths, sizes and times.

        Args:
            name: The sample's.
        """
        sample = self.sample(name)
        return digest({path: _stamp(path) for path in (sample.picture, sample.truth)})

    def sample(self, name: str) -> Sample:
        """A sample by its name.

        Args:
            name: Its name.
        """
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Sample]:
        return {sample.name: sample for sample in self.dataset.samples}


def _stamp(path: str) -> tuple[int, int] | None:
    if path.startswith(DRAWN):
        return None
    found = Path(path).stat()
    return found.st_size, found.st_mtime_ns


def _one(job: EvaluationJob, pipe: Callable[[], Any], item: Item) -> dict[str, Any]:
    """Segment and count a picture by each variant that is not done; one pass at most."""
    missing = [variant for variant in job.variants() if job.counted(item.name, variant) is None]
    key, sample, prepared = job.key(item.name), job.sample(item.name), preparation(job.preparation)
    truth = prepared.truth(truth_of(job.dataset, sample))
    facts: dict[str, Any] = {}
    for variant, segmentation, seconds, passes in _segmentations(job, pipe, sample, key, missing):
        labels = prepared.labels(numbered(segmentation, variant, job.dataset.classes))
        facts = {
            "key": key,
            "seconds": seconds,
            "model_passes": passes,
            "segments": len(segmentation),
            "recipe": as_dict(segmentation.recipe),
        }
        _check_shapes(labels, truth)
        table = count_table(labels, truth, classes=len(job.dataset.classes))
        Counted(labels, table, edge_counts(labels, truth), facts).save(job.file(item.name, variant))
    return {name: value for name, value in facts.items() if name != "key"}


def _check_shapes(labels: np.ndarray, truth: np.ndarray) -> None:
    if labels.shape != truth.shape:
        raise ParameterError(
            f"segments are {labels.shape[0]}x{labels.shape[1]} and the truth "
            f"{truth.shape[0]}x{truth.shape[1]} (height x width): these settings crop the picture; use "
            "preparation='diffseg', which crops both, or leave crop and preset='reference' out"
        )


def _segmentations(
    job: EvaluationJob, pipe: Callable[[], Any], sample: Sample, key: str, variants: list[Mapping[str, Any]]
) -> Iterable[tuple[Mapping[str, Any], Segmentation, float, int]]:
    """Each variant with its segments, their seconds, and how many passes of the model they took."""
    evidence = read_evidence(job.attention_file(sample.name), key)
    picture = preparation(job.preparation).picture(picture_of(sample))
    if evidence is not None:
        evidence = replace(evidence, picture=load_picture(picture))
    for variant in variants:
        loaded = pipe() if evidence is None else None
        began = time.perf_counter()
        if evidence is None:
            segmentation, passes = segment(picture, loaded, **variant), 1
        else:
            segmentation, passes = evidence.segments(recipe_of(evidence, variant)), 0
        yield variant, segmentation, time.perf_counter() - began, passes
        if evidence is None and job.keep:
            save_evidence(segmentation.evidence, job.attention_file(sample.name), key)
        evidence = segmentation.evidence if evidence is None else evidence


def recipe_of(evidence: Evidence, settings: Mapping[str, Any]) -> Recipe:
    """What `attnscope.segment` would do with these settings after its pass.

    Args:
        evidence: Of a picture.
        settings: Keywords of `attnscope.segment`.
    """
    of_recipe = {
        name: value for name, value in settings.items() if name not in OF_THE_PASS or name == "preset"
    }
    return recipe_for(of_recipe.pop("method", "diffseg"), evidence.model, **of_recipe)


def numbered(segmentation: Segmentation, settings: Mapping[str, Any], classes: tuple[str, ...]) -> np.ndarray:
    """A picture's labels. With words a segment's number is its word's, so that it means the same in all pictures.

    Args:
        segmentation: Of a picture.
        settings: With `labels`, the words.
        classes: Where all words are classes, their numbers are taken; segments without a name come after them.
    """
    words = asked_words(settings.get("labels"))
    if not words:
        return segmentation.labels
    numbers = list(classes) if set(words) <= set(classes) else list(words)
    of_segment = [numbers.index(name) if name else len(numbers) for name in segmentation.names]
    return np.array(of_segment)[segmentation.labels]

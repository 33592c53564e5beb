"""A model and a method on a data set, from files to scores; a second start goes on where the first one ended."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from attnscope.errors import AttnscopeError, ParameterError, nearest
from attnscope.evaluation.checking import check_dataset
from attnscope.evaluation.datasets import Dataset
from attnscope.evaluation.examples import examples
from attnscope.evaluation.job import EvaluationJob
from attnscope.evaluation.kept import Counted, bytes_in
from attnscope.evaluation.layouts import open_dataset
from attnscope.evaluation.preparing import preparation as preparation_of
from attnscope.evaluation.result import Evaluation, Tried
from attnscope.evaluation.scoring import RESAMPLES, Scores, scores_of_tables
from attnscope.jobs.job import Engine
from attnscope.jobs.running import run
from attnscope.segmentation.words import asked_words

PROTOCOLS = {
    "per-image": ("per-image",),
    "dataset": ("dataset",),
    "both": ("per-image", "dataset"),
    "named": ("named",),
}
"""What may be asked for, and the assignments that it means."""
CLASSES = "classes"
"""As `labels`: the names of the data set's classes."""

Progress = Callable[[str, int, int], None]


def evaluate(
    dataset: str | Dataset,
    folder: str | Path | None = None,
    *,
    output: str | Path,
    model: str = "demo",
    protocol: str = "both",
    preparation: str = "own",
    limit: int | None = None,
    search: Sequence[Any] = (),
    keep: bool = False,
    loading: Mapping[str, Any] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    engine: Engine | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Evaluation:
    """How good a model's segments are on a data set with masks.

    Args:
        dataset: 'coco-stuff-27', 'cityscapes', 'voc2012', 'ade20k', 'folder', 'scenes:200', or a `Dataset`.
        folder: Where the data set is; scenes need none.
        output: A folder for what is counted of each picture. A second start with it does only what is missing, which is
            decided by picture, mask, model and settings.
        model: Name of the model, as for `attnscope.load_pipeline`.
        protocol: 'per-image', 'dataset', 'both' or 'named', see `scores`; 'named' needs labels that are classes.
        preparation: 'own', 'diffseg' or 'diffcut', see `preparing`.
        limit: The first so many pictures alone.
        search: Thresholds to try besides, from the attention of the same passes.
        keep: Keep the attention of each picture: 4 bytes x (height x width of the grid) squared, so 67 MB at 64x64 and
            4 MB at 32x32. A search keeps it, too: a later one takes no pass.
        loading: Keywords of `attnscope.load_pipeline`.
        resamples: For the intervals.
        seed: Of their drawing.
        engine: `attnscope.jobs.RayEngine(...)`; one picture after the other in this process by default.
        progress: Called as progress(what, done, total); what is 'checking' or 'pictures'.
        settings: Keywords of `attnscope.segment`. labels='classes' stands for the names of the classes.

    Raises:
        ParameterError: A choice is unknown, files are missing, or no picture could be segmented.
        ImageError: A file of the data set is broken or not what it should be. All files are looked at before the first
            pass.

    Cost: 0.05 to 0.6 s a picture to check and 0.15 s to count, and then as `attnscope.segment`.

    >>> import tempfile
    >>> evaluate("scenes:2", output=tempfile.mkdtemp(), protocol="per-image", resamples=10).pictures
    2
    """
    assignments = _assignments(protocol)
    preparation_of(preparation)
    chosen = open_dataset(dataset, folder) if isinstance(dataset, str) else dataset
    chosen = chosen.first(limit)
    settings = _with_classes(settings, chosen, assignments)
    check_dataset(chosen, whole=limit is None, progress=progress and _named(progress, "checking"))
    job = EvaluationJob(
        chosen,
        str(output),
        model,
        preparation,
        settings,
        tuple(search),
        keep or bool(search),
        dict(loading or {}),
    )
    failed = _run(job, engine, progress and _named(progress, "pictures"))
    return _result(job, failed, assignments, resamples, seed)


def _assignments(protocol: str) -> tuple[str, ...]:
    if protocol not in PROTOCOLS:
        raise ParameterError(f"protocol is {protocol!r}; expected one of {nearest(protocol, PROTOCOLS)}")
    return PROTOCOLS[protocol]


def _with_classes(settings: dict[str, Any], dataset: Dataset, assignments: tuple[str, ...]) -> dict[str, Any]:
    """Settings with the classes' names for labels='classes'."""
    if settings.get("labels") in (CLASSES, [CLASSES], (CLASSES,)):
        settings = {**settings, "labels": list(dataset.classes)}
    if "named" in assignments and not set(asked_words(settings.get("labels")) or {""}) <= set(
        dataset.classes
    ):
        raise ParameterError(
            f"protocol 'named' needs words that are classes of {dataset.title}; give labels='classes', or some of "
            f"{', '.join(dataset.classes[:5])} ..."
        )
    return settings


def _named(progress: Progress, what: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(what, done, total)


def _run(
    job: EvaluationJob, engine: Engine | None, progress: Callable[[int, int], None] | None
) -> tuple[tuple[str, str], ...]:
    """Do what is missing; the pictures that failed, with what was wrong."""
    items = job.items()
    rows = run(job, items, engine=engine, progress=progress)
    failed = [(row.item.name, f"{row.error.type}: {row.error.message}") for row in rows if row.error]
    if len(failed) == len(items):
        raise ParameterError(f"none of {len(items)} pictures could be segmented; the first: {failed[0][1]}")
    return tuple(failed)


def _result(
    job: EvaluationJob,
    failed: tuple[tuple[str, str], ...],
    assignments: tuple[str, ...],
    resamples: int,
    seed: int,
) -> Evaluation:
    own, *others = job.variants()
    names = [sample.name for sample in job.dataset.samples if sample.name not in dict(failed)]
    counted = _all_counted(job, names, own)
    scored = {each: _scores(counted, each, resamples, seed) for each in assignments}
    tried = tuple(each for variant in others for each in _tried(job, names, variant, assignments))
    mious = _scores(counted, "per-image", 0, seed).per_picture
    seconds = [each.facts["seconds"] for each in counted if each.facts["model_passes"]]
    return Evaluation(
        job.dataset,
        job.model,
        job.preparation,
        dict(job.settings),
        scored,
        tried,
        examples(job, names, counted, mious),
        failed,
        {"median": _mean(np.median, seconds), "mean": _mean(np.mean, seconds), "total": float(sum(seconds))},
        float(np.mean([each.facts["segments"] for each in counted])),
        {part: bytes_in(Path(job.folder, part)) for part in ("counted", "attention")},
        machine(),
    )


def _mean(of: Callable[..., Any], numbers: list[float]) -> float:
    return float(of(numbers)) if numbers else float("nan")


def _all_counted(job: EvaluationJob, names: list[str], variant: Mapping[str, Any]) -> list[Counted]:
    counted = [job.counted(name, variant) for name in names]
    if lost := [name for name, each in zip(names, counted, strict=True) if each is None]:
        raise AttnscopeError(
            f"the counts of {lost[0]} are gone, or the picture has changed in the meantime; start again"
        )
    return [each for each in counted if each is not None]


def _scores(counted: list[Counted], assignment: str, resamples: int, seed: int) -> Scores:
    tables, lines = [each.table for each in counted], [each.lines.f for each in counted]
    return scores_of_tables(tables, lines, assignment=assignment, resamples=resamples, seed=seed)


def _tried(
    job: EvaluationJob, names: list[str], variant: Mapping[str, Any], assignments: tuple[str, ...]
) -> list[Tried]:
    counted = _all_counted(job, names, variant)
    segments = float(np.mean([each.facts["segments"] for each in counted]))
    found = [_scores(counted, each, 0, 0) for each in assignments]
    return [
        Tried(variant["thresholds"], each.assignment, each.accuracy, each.miou, each.boundary_f, segments)
        for each in found
    ]


def machine() -> str:
    """What computes here: kind of processor, cores, torch."""
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.system()} {platform.machine()}, {cores} cores{gpu}, torch {torch.__version__}"


def search_values(text: str) -> tuple[float, ...]:
    """Thresholds to try, both ends included.

    Args:
        text: 'thresholds=0.3:1.2:0.1', which is first, last and step, or 'thresholds=0.3,0.5'.

    Raises:
        ParameterError: It is written otherwise, or there are none or more than 1,000.

    >>> search_values("thresholds=0.3:0.5:0.1")
    (0.3, 0.4, 0.5)
    """
    name, _, numbers = text.partition("=")
    try:
        parts = [float(part) for part in numbers.replace(",", ":").split(":")]
        if "," in numbers or len(parts) == 1:
            values = parts
        else:
            first, last, step = parts
            values = [first + at * step for at in range(int((last - first) / step + 1e-6) + 1)]
        if name not in ("thresholds", "threshold") or not 0 < len(values) <= 1000 or not min(values) > 0:
            raise ValueError
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise ParameterError(
            f"search is {text!r}; expected thresholds=FIRST:LAST:STEP, as in thresholds=0.3:1.2:0.1"
        ) from error
    return tuple(round(value, 6) for value in values)

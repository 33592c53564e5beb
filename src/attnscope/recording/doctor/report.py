"""`attnscope.doctor`: one look at the machine and at a model."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnscope.errors import AttnscopeError
from attnscope.pipelines import load_pipeline
from attnscope.recording.doctor.hub import Hub, hub, hub_obstacles
from attnscope.recording.doctor.machine import Device, Version, devices, version_obstacles, versions
from attnscope.recording.doctor.model import ModelCheck, check_configuration, check_model, memory_obstacles
from attnscope.recording.obstacles.obstacle import Obstacle


@dataclass(frozen=True, repr=False)
class Report:
    """What the doctor found. Printed, it says what stands in the way; `attnscope doctor` prints all of it.

    Attributes:
        versions: Python, attnscope and the packages that it works with.
        devices: What torch can compute on.
        hub: Where models come from.
        model: The model that was examined.
        obstacles: What stands in the way, each with what to do about it.
    """

    versions: tuple[Version, ...]
    devices: tuple[Device, ...]
    hub: Hub
    model: ModelCheck
    obstacles: tuple[Obstacle, ...]

    @property
    def well(self) -> bool:
        """Whether nothing stands in the way."""
        return not self.obstacles

    def __repr__(self) -> str:
        state = "nothing stands in the way" if self.well else f"{len(self.obstacles)} in the way"
        return f"<Report on {self.model.name}: {state}>"

    def __str__(self) -> str:
        if self.well:
            return "Nothing stands in the way."
        lines = []
        for number, obstacle in enumerate(self.obstacles, start=1):
            lines.append(f"{number}. In the way: {obstacle.cause}.")
            lines += [f"   What to do: {obstacle.remedy}"] if obstacle.remedy else []
        return "\n".join(lines)


def doctor(model: Any = "demo") -> Report:
    """Whether attention can be captured here, and what stands in the way.

    A model by name is loaded, from the disk only; where its weights are not here, its configuration is read. Of a
    loaded pipeline each layer is tried with a real capture, on the smallest latent that its U-Net takes; with a
    transformer the pipeline makes two steps of a picture of 64x64 pixels. Nothing is changed.

    Args:
        model: A name or a folder as for `attnscope.load_pipeline`, a pipeline as it is going to be used, or a
            U-Net.

    Returns:
        Versions, devices, hub and model, and every obstacle with its remedy.

    Cost: loading the model, two tiny steps, and at most two seconds for the hub.

    >>> import attnscope
    >>> report = attnscope.doctor("demo")
    >>> all(layer.seen for layer in report.model.layers)
    True
    """
    with ThreadPoolExecutor(1) as beside:
        asking = beside.submit(hub)
        found, parts = versions(), devices()
        examined, obstacles = _examined(model)
        place = asking.result()
    return Report(
        found,
        parts,
        place,
        examined,
        (
            *version_obstacles(found),
            *hub_obstacles(place),
            *obstacles,
            *memory_obstacles(examined.memory, parts[0].free),
        ),
    )


def _examined(model: Any) -> tuple[ModelCheck, tuple[Obstacle, ...]]:
    if not isinstance(model, (str, os.PathLike)):
        return check_model(model, getattr(model, "name_or_path", None) or type(model).__name__)
    name = os.fspath(model)
    try:
        pipe = load_pipeline(name, local_files_only=True)
    except AttnscopeError as error:
        obstacle = _not_loaded(name, error)
        return check_configuration(name, obstacle.cause), (obstacle,)
    return check_model(pipe, name)


def _not_loaded(name: str, error: AttnscopeError) -> Obstacle:
    """Why a model could not be loaded. The doctor itself fetches nothing."""
    if error.__cause__ is None or Path(name).exists():
        return Obstacle(str(error), "")
    return Obstacle(
        f"the weights of {name!r} are not on this machine, or only in part",
        f"fetch them, `pipe = attnscope.load_pipeline({name!r})`; without network give a folder or 'demo'",
    )

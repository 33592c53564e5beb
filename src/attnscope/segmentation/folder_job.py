"""Segments of many photos as a job: what is written for each, and when it counts as done."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attnscope._version import __version__
from attnscope.errors import OutputError
from attnscope.files.temporary import temporary_folder
from attnscope.jobs.job import Item, Work
from attnscope.jobs.places import exists, identity, joined, read, remove, write

_LABELS, _OVERLAY, _EDGES, _FACTS = ".labels.png", ".overlay.png", ".edges.png", ".json"


@dataclass(frozen=True)
class SegmentJob:
    """NAME.labels.png, NAME.overlay.png and NAME.json of each photo.

    Attributes:
        output: The folder that they go to, or an fsspec address.
        model: As for `attnscope.load_pipeline`.
        settings: Keywords of `attnscope.segment`, as plain values.
        loading: Keywords of `attnscope.load_pipeline`: config, device, dtype.
        overlays: Whether overlays are written.
        edges: Whether edges of attention are written.
        overwrite: Do again what another recipe, another model or somebody else wrote.
    """

    output: str
    model: str = "demo"
    settings: dict[str, Any] = field(default_factory=dict)
    loading: dict[str, Any] = field(default_factory=dict)
    overlays: bool = True
    edges: bool = False
    overwrite: bool = False

    @property
    def recipe(self) -> dict[str, Any]:
        """What outputs must agree in to be of one job: model, settings, files; not the device."""
        dtype, files = self.loading.get("dtype"), {"overlays": self.overlays, "edges": self.edges}
        return {"model": self.model, "dtype": dtype, "settings": self.settings, **files}

    def open(self) -> Work:
        """Load the model."""
        from attnscope.pipelines import load_pipeline

        pipe = load_pipeline(self.model, **self.loading)
        pipe.set_progress_bar_config(disable=True)
        return lambda item: self._segment(item, pipe)

    def is_done(self, item: Item) -> bool:
        """Whether all files of a photo are there, by this recipe and from this very input.

        Args:
            item: The photo.

        Raises:
            OutputError: NAME.json is of another recipe or of somebody else, and `overwrite` is false.
            PlaceError: An address can't be reached.
        """
        record = self._record(item)
        if record is None:
            return False
        if record.get("recipe") != self.recipe:
            if self.overwrite:
                return False
            raise OutputError(self._other(item, record))
        return record.get("input") == _identity(item) and all(map(exists, self._pictures(item)))

    def recorded(self, item: Item) -> dict[str, Any]:
        """The facts of a photo that was done before.

        Args:
            item: The photo.
        """
        return dict((self._record(item) or {}).get("facts", {}))

    def _record(self, item: Item) -> dict[str, Any] | None:
        """What NAME.json says of the job; {} if it is not of one, None if there is none."""
        try:
            written = json.loads(read(self._at(item, _FACTS)))
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            return {}
        record = written.get("job") if isinstance(written, dict) else None
        return record if isinstance(record, dict) else {}

    def _other(self, item: Item, record: dict[str, Any]) -> str:
        remedy = "choose another folder with -o, or do those again with --force"
        if not (there := record.get("recipe")):
            return f"{self._at(item, _FACTS)} exists already and is not of such a job; {remedy}"
        changed = next((name for name in self.recipe if there.get(name) != self.recipe[name]), "recipe")
        was, now = there.get(changed), self.recipe.get(changed)
        return f"{self._at(item, _FACTS)} was made with {changed} {was!r}, and now it is {now!r}; {remedy}"

    def _at(self, item: Item, ending: str) -> str:
        return joined(self.output, item.name + ending)

    def _pictures(self, item: Item) -> list[str]:
        return [self._at(item, ending) for ending in self._endings]

    @property
    def _endings(self) -> list[str]:
        return [_LABELS, *[_OVERLAY] * self.overlays, *[_EDGES] * self.edges]

    def _segment(self, item: Item, pipe: Any) -> dict[str, Any]:
        from attnscope.segmentation.segment import segment

        source = identity(item.address)  # before it is read: a change meanwhile is seen at the next start
        segmentation = segment(_picture(item), pipe, **self.settings)
        facts = {"segments": len(segmentation), "names": sorted(set(filter(None, segmentation.names)))}
        place = Path(temporary_folder())
        try:
            segmentation.save(place / "it.json", edges=self.edges)
            written = json.loads((place / "it.json").read_text("utf-8"))
            written["job"] = {
                "recipe": self.recipe,
                "input": source,
                "facts": facts,
                "attnscope": __version__,
            }
            self._publish(item, place, json.dumps(written, indent=1) + "\n")
        finally:
            shutil.rmtree(place, ignore_errors=True)
        return facts

    def _publish(self, item: Item, place: Path, facts: str) -> None:
        """NAME.json comes last, and an older one goes first: with it, the others are whole and of its recipe."""
        remove(self._at(item, _FACTS))
        for ending in self._endings:
            write(self._at(item, ending), (place / f"it{ending}").read_bytes())
        for ending in {_OVERLAY, _EDGES} - set(self._endings):
            remove(self._at(item, ending))
        write(self._at(item, _FACTS), facts.encode())


def _picture(item: Item) -> Any:
    """The photo's address if it is here, else its contents."""
    from attnscope.jobs.places import is_remote, local_path

    return read(item.address) if is_remote(item.address) else local_path(item.address)


def _identity(item: Item) -> dict[str, Any] | None:
    try:
        return identity(item.address)
    except OSError:
        return None

"""What segmenting gives back: labels, names, pictures, files, and the means to merge again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from PIL import Image
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from attnscope.diffseg.labels import name_segments, unite_namesakes
from attnscope.diffseg.merging import Merger
from attnscope.diffseg.refinement import refine
from attnscope.diffseg.suppression import segment_map
from attnscope.errors import OutputError, ParameterError, SelectionError
from attnscope.files import whole_file
from attnscope.pictures.overlays import indexed_png, overlay_labels, png_bytes
from attnscope.pictures.regions import Segment, describe_segments
from attnscope.segmentation.recipe import Recipe, per_pass

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".json")


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The segments of one picture.

    labels: the segment of every pixel, int32 from 0 without gaps, at the picture's size.
    names: the word of each segment, () when no words were given.
    image: the upright RGB picture that labels lie on (its middle square with crop), None if unknown.
    aggregated: (height, width, height, width), what `again` merges from.
    merged: (segment, height, width), before segments of one word are united.
    word_maps: (word, height, width) cross-attention of `words`, at the size that the model saw.
    origin: what is known of where the attention is from: timestep, noise, crop, steps ...
    merger: keeps the distances that `again` needs.
    """

    labels: Int[np.ndarray, "height width"]
    recipe: Recipe
    aggregated: Float[Tensor, "grid_height grid_width grid_height grid_width"]
    merged: Float[Tensor, "segment grid_height grid_width"]
    image: Image.Image | None = None
    names: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    word_maps: Float[Tensor, "word input_height input_width"] | None = None
    origin: dict[str, Any] = field(default_factory=dict)
    merger: Merger | None = field(default=None, repr=False)

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """Number, label, area, box, centroid and COCO run lengths of each segment."""
        return describe_segments(self.labels, self.names)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The labels, for `np.asarray(segmentation)` and `plt.imshow(segmentation)`."""
        return np.array(self.labels, dtype=dtype, copy=copy)

    def __eq__(self, other: object) -> bool:
        """The same labels with the same names."""
        if not isinstance(other, Segmentation):
            return NotImplemented
        return self.names == other.names and np.array_equal(self.labels, other.labels)

    __hash__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        return int(self.labels.max()) + 1

    def __repr__(self) -> str:
        height, width = self.labels.shape
        named = f" ({', '.join(dict.fromkeys(self.names))})" if self.names else ""
        taus = ", ".join(f"{tau:g}" for tau in self.recipe.thresholds)
        return f"<Segmentation {len(self)} segments{named}, {height}x{width} px, thresholds {taus}>"

    def mask(self, segment: int | str) -> Bool[np.ndarray, "height width"]:
        """The pixels of a segment, by number or by name (all segments of that name)."""
        if isinstance(segment, str):
            numbers = [number for number, name in enumerate(self.names) if name == segment]
            if not numbers:
                raise SelectionError(f"no segment is named {segment!r}; names are {sorted(set(self.names))}")
            return np.isin(self.labels, numbers)
        if not 0 <= segment < len(self):
            raise SelectionError(f"segment {segment}: this picture has segments 0 to {len(self) - 1}")
        return self.labels == segment

    def again(self, thresholds: float | Sequence[float] | None = None, **changes: Any) -> Segmentation:
        """The same attention merged with another recipe; the model is not needed.

        thresholds: as for `attnscope.segment`. changes: preset, anchors, refine, unite.
        Cost: 0.06 to 0.09 s at a 64x64 grid on two cores where segments are clear, up to 0.5 s where they are not, and
        the label map; with another preset or other anchors 0.3 s more; k-means if asked.
        """
        if thresholds is not None:
            changes |= {"thresholds": per_pass(thresholds), "threshold_source": "given"}
        known = Recipe.__dataclass_fields__
        if unknown := [name for name in changes if name not in known]:
            raise ParameterError(f"again() got {unknown}; expected some of {list(known)}")
        recipe = replace(self.recipe, **changes)
        size = self.labels.shape
        words = (self.words, self.word_maps)
        same = (recipe.preset, recipe.anchors) == (self.recipe.preset, self.recipe.anchors)
        merger = self.merger if same else None
        return segmentation(
            self.aggregated, (size[0], size[1]), recipe, self.image, *words, self.origin, merger=merger
        )

    def _repr_png_(self) -> bytes:
        """For notebooks: the overlay, or where there is no picture the coloured labels."""
        return png_bytes(indexed_png(self.labels) if self.image is None else self.overlay())

    def overlay(self, *, opacity: float = 0.8) -> Image.Image:
        """The picture under its segments' colours, with lines between segments and their names."""
        if self.image is None:
            raise ParameterError(
                "this segmentation has no picture: the trace holds none. Give one with picture="
            )
        return overlay_labels(self.image, self.labels, names=dict(enumerate(self.names)), opacity=opacity)

    def label_image(self) -> Image.Image:
        """The label map as a palette picture; pixel value = segment."""
        return indexed_png(self.labels)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the pixels, as plain values for JSON."""
        height, width = self.labels.shape
        return {
            "size": {"height": height, "width": width},
            "units": {"box": "left, top, width, height in px", "centroid": "x, y in px", "area": "px"},
            "segments": [asdict(segment) for segment in self.segments],
            "recipe": asdict(self.recipe),
            "origin": self.origin,
        }

    def save(self, name: str | Path, *, overwrite: bool = True) -> list[Path]:
        """Write NAME.labels.png, NAME.overlay.png (if the picture is known) and NAME.json.

        name: NAME with or without a folder; a picture's or .json ending is taken off.
        Returns their paths, in this order.
        Raises OutputError for what can't be written, and for files that are there with overwrite=False.
        """
        stem = Path(name)
        if stem.suffix.lower() in PICTURE_SUFFIXES:
            stem = stem.with_suffix("")
        pictures = {".labels.png": self.label_image}
        if self.image is not None:
            pictures[".overlay.png"] = self.overlay
        paths = [stem.with_name(stem.name + ending) for ending in (*pictures, ".json")]
        if existing := [str(path) for path in paths if path.exists() and not overwrite]:
            raise OutputError(
                f"{', '.join(existing)} exists already; choose another name, or pass overwrite=True"
            )
        for path, picture in zip(paths, pictures.values(), strict=False):
            with whole_file(path) as partial:
                picture().save(partial)
        with whole_file(paths[-1]) as partial:
            partial.write_text(json.dumps(self.to_dict(), indent=1) + "\n")
        return paths


def segmentation(
    aggregated: Tensor,
    size_hw: tuple[int, int],
    recipe: Recipe,
    image: Image.Image | None,
    words: tuple[str, ...],
    word_maps: Tensor | None,
    origin: dict[str, Any],
    *,
    merger: Merger | None = None,
) -> Segmentation:
    """Merge, refine, suppress and name: from aggregated attention to the segments of a picture.

    merger: of the same aggregated attention, preset and anchors, when there is one already.
    """
    merger = merger or Merger(aggregated, recipe.preset, anchors=recipe.anchors)
    merged = merger.merge(recipe.thresholds)
    if recipe.refine:
        merged = refine(aggregated, merged)
    labels = segment_map(merged, size_hw)
    present = torch.bincount(labels.flatten(), minlength=len(merged)) > 0
    labels = (present.cumsum(0) - 1)[labels]  # numbers without gaps
    merged, names = merged[present], ()
    if word_maps is not None:
        numbers = _strongest_words(merged, word_maps)
        if recipe.unite:
            united = unite_namesakes(numbers)
            labels, numbers = united.to(labels.device)[labels], numbers[_first_of_each(united)]
        names = tuple(words[number] for number in numbers.tolist())
    array = labels.cpu().numpy().astype(np.int32)
    return Segmentation(array, recipe, aggregated, merged, image, names, words, word_maps, origin, merger)


def _strongest_words(
    merged: Float[Tensor, "segment h w"], maps: Float[Tensor, "word height width"]
) -> Tensor:
    """The word of each segment; one too thin for the word maps' size is asked through its own merged map."""
    named = name_segments(segment_map(merged, (maps.shape[1], maps.shape[2])), maps, count=len(merged)).cpu()
    on_grid = adaptive_avg_pool2d(maps.cpu().double(), (merged.shape[1], merged.shape[2]))
    through_map = (merged.cpu().double().flatten(1) @ on_grid.flatten(1).T).argmax(1)
    return torch.where(named >= 0, named, through_map)


def _first_of_each(numbers: Int[Tensor, " segment"]) -> Int[Tensor, " united"]:
    return torch.stack([(numbers == number).nonzero()[0, 0] for number in numbers.unique()])

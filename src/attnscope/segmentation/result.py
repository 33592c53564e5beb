"""What segments are made of, and what they are: labels, names, pictures, files."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from PIL import Image
from PIL.Image import Resampling
from torch import Tensor

from attnscope.errors import ParameterError, SelectionError
from attnscope.pictures.axes import new_axes
from attnscope.pictures.overlays import indexed_png, overlay_labels, overlay_strips, png_bytes
from attnscope.pictures.regions import Segment, describe_segments
from attnscope.pictures.strips import Strips
from attnscope.segmentation import edges as by_attention
from attnscope.segmentation.basis import Basis
from attnscope.segmentation.files import write_files
from attnscope.segmentation.label_map import label_map
from attnscope.segmentation.methods import recipe_like
from attnscope.segmentation.methods.diffseg import Thresholds
from attnscope.segmentation.naming import means_inside, names_of_segments, word_scores
from attnscope.segmentation.picture_edges import fit_to_picture
from attnscope.segmentation.recipe import Recipe, as_dict
from attnscope.spelling import both_spellings

MOST_FITTED_PX = 2**22
"""Pixels at which maps are fitted to a picture's edges: each map takes 16 MB there."""
Maps = Float[Tensor, "segment grid_height grid_width"]


@dataclass(frozen=True, eq=False, repr=False)
class Evidence(Basis):
    """What segments are made of: a picture's self-attention, and where each word landed. The model is not needed."""

    def segments(self, recipe: Recipe, words: Sequence[int] | None = None) -> Segmentation:
        """Find the segments' maps, give each pixel to one of them, and name them.

        Args:
            recipe: The method and its choices.
            words: Numbers, among `self.words`, of those that may name segments; all by default.

        Cost: see `Segmentation.again`.
        """
        chosen = list(range(len(self.words)) if words is None else words)
        found = recipe.find(self, chosen)
        labels, there = label_map(self._fitted(found.maps) if recipe.fit else found.maps, self.size_hw)
        maps, names = found.maps[there], tuple(compress(found.names, there.tolist()))
        if not found.names and self.word_maps is not None and chosen:
            of_chosen, at_words = [self.words[at] for at in chosen], self.word_maps[chosen]
            labels, names = names_of_segments(labels, maps, at_words, of_chosen, recipe)
        return Segmentation(labels, found.recipe, self, maps, names)

    def _fitted(self, maps: Maps) -> Float[Tensor, "segment height width"]:
        """Maps that follow the picture's own edges, at its size or, of a large picture, at a smaller one."""
        hw = _at_most(MOST_FITTED_PX, self.size_hw)
        if self.picture is not None:
            return fit_to_picture(maps, self.picture.resize(hw[::-1], Resampling.BOX))
        if self.decode is not None:
            return fit_to_picture(maps, self.decode().resized(hw))
        raise ParameterError("fit=True needs the picture, and none is known: give one with picture=")

    def word_scores(self, labels: Int[np.ndarray, "height width"]) -> Float[np.ndarray, "segment word"]:
        """The mean in each segment of every word's map; maps have unit L2 norm over the picture.

        Args:
            labels: The segment of every pixel, at `size_hw`.
        """
        if self.word_maps is None:
            return np.zeros((int(labels.max()) + 1, 0), np.float32)
        return means_inside(labels, self.word_maps, count=int(labels.max()) + 1).float().numpy()


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The segments of one picture.

    Attributes:
        labels: The segment of every pixel, from 0 without gaps, at the picture's size: int32;
            uint8 above 40 megapixels, for up to 256 segments.
        recipe: The method and the choices that made them.
        evidence: What they were made of, and what `again` merges.
        merged: The map of each segment on the grid, before segments of one word are united.
        names: The word of each segment, None where the best one is weak; () when no words were given.
    """

    labels: Int[np.ndarray, "height width"]
    recipe: Recipe
    evidence: Evidence
    merged: Float[Tensor, "segment grid_height grid_width"]
    names: tuple[str | None, ...] = ()

    @property
    def picture(self) -> Image.Image | None:
        """The upright RGB picture that labels lie on, None if unknown. A large one is decoded at every call."""
        return self.evidence.picture if self.evidence.decode is None else self.evidence.decode().whole()

    @property
    def has_picture(self) -> bool:
        """Whether the picture is known."""
        return (self.evidence.picture or self.evidence.decode) is not None

    @property
    def aggregated(self) -> Float[Tensor, "grid_height grid_width grid_height grid_width"]:
        """DiffSeg's aggregate of self-attention, which the segments were merged from."""
        return self.evidence.aggregated

    @cached_property
    def edges(self) -> Float[Tensor, "grid_height grid_width"]:
        """Where attention changes from place to place, in nats, see `attnscope.segmentation.edges.edges`."""
        return by_attention.edges(self.aggregated)

    @property
    def origin(self) -> dict[str, Any]:
        """What is known of where the attention is from: timestep, noise, crop, steps ..."""
        return self.evidence.origin

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """Number, label, area, box, centroid and COCO run lengths of each segment."""
        return describe_segments(self.labels, self.names)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The labels, for `np.asarray(segmentation)` and `plt.imshow(segmentation)`."""
        # None: as NumPy 2 means it, which NumPy 1 can't be told
        return np.asarray(self.labels, dtype) if copy is None else np.array(self.labels, dtype, copy=copy)

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
        known = list(dict.fromkeys(filter(None, self.names)))
        named = f" ({', '.join(known) or 'none has a name'})" if self.names else ""
        return f"<Segmentation {len(self)} segments{named}, {height}x{width} px, {self.recipe}>"

    def mask(self, segment: int | str) -> Bool[np.ndarray, "height width"]:
        """The pixels of a segment.

        Args:
            segment: Its number, or a name, which stands for all segments of that name.

        Raises:
            SelectionError: There is no such segment.
        """
        if isinstance(segment, str):
            if segment not in (known := sorted(set(filter(None, self.names)))):
                raise SelectionError(f"no segment is named {segment!r}; names are {known}")
            return np.isin(self.labels, [at for at, name in enumerate(self.names) if name == segment])
        if not 0 <= segment < len(self):
            raise SelectionError(f"segment {segment}: this picture has segments 0 to {len(self) - 1}")
        return self.labels == segment

    @both_spellings("thresholds")
    def again(
        self, thresholds: Thresholds | None = None, *, method: str | None = None, **changes: Any
    ) -> Segmentation:
        """The same attention with another recipe; the model is not needed.

        Args:
            thresholds: As for `attnscope.segment`.
            method: Another method, as for `attnscope.segment`.
            changes: Fields of the method's recipe, such as preset, anchors, refine, unite.

        Raises:
            KeywordError: A change is none of a recipe.
            ParameterError: It is outside its range.

        Cost: DiffSeg 0.06 to 0.5 s at a 64x64 grid on two cores, the less the clearer segments are, and the label map;
        0.3 s more with another preset or other anchors, and k-means if asked.
        """
        changes |= {} if thresholds is None else {"thresholds": thresholds}
        model = self.evidence.model
        return self.evidence.segments(recipe_like(self.recipe, changes, method=method, model=model))

    def _repr_png_(self) -> bytes:
        """For notebooks: the overlay, or where there is no picture the coloured labels."""
        return png_bytes(self.overlay() if self.has_picture else indexed_png(self.labels))

    def overlay(self, *, opacity: float = 0.8) -> Image.Image:
        """The picture under its segments' colours, with lines between segments and their names.

        Args:
            opacity: Of the colours, 0 to 1.

        Raises:
            ParameterError: No picture is known.
        """
        if (picture := self.picture) is None:
            raise ParameterError("no picture is known, the trace holds none: give one with picture=")
        own = picture is not self.evidence.picture  # decoded for this overlay, which may be drawn on it
        return overlay_labels(picture, self.labels, names=self._written(), opacity=opacity, in_place=own)

    def _written(self) -> dict[int, str]:
        return {number: name for number, name in enumerate(self.names) if name}

    @cached_property
    def scores(self) -> Float[np.ndarray, "segment word"]:
        """How well each of `evidence.words` fits each segment: the attention that the word gets inside it, divided by
        what it gets in the picture on average. 1 is as much as anywhere."""
        if (maps := self.evidence.word_maps) is None:
            return np.zeros((len(self), 0))
        return word_scores(self.labels, maps, count=len(self)).numpy()

    def _scores(self, segment: int) -> dict[str, Any]:
        words = self.evidence.words
        return {"scores": dict(zip(words, self.scores[segment].tolist(), strict=True))} if words else {}

    def plot(self, ax: Any = None) -> Any:
        """Draw the overlay, or the coloured labels where there is no picture, on matplotlib axes.

        Args:
            ax: Axes to draw on; new ones by default.

        Returns:
            The axes.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        axes = new_axes() if ax is None else ax
        axes.imshow(self.overlay() if self.has_picture else self.label_image().convert("RGB"))
        axes.set_axis_off()
        return axes

    def label_image(self) -> Image.Image:
        """The label map as a palette picture; pixel value = segment."""
        return indexed_png(self.labels)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the pixels, as plain values for JSON."""
        height, width = self.labels.shape
        return {
            "size": {"height": height, "width": width},
            "units": {"box": "left, top, width, height in px", "centroid": "x, y in px", "area": "px"},
            "segments": [asdict(segment) | self._scores(segment.id) for segment in self.segments],
            "recipe": as_dict(self.recipe),
            "origin": self.origin,
        }

    def save(self, name: str | Path, *, edges: bool = False, overwrite: bool = False) -> list[Path]:
        """Write NAME.labels.png, NAME.overlay.png (if the picture is known) and NAME.json.

        Args:
            name: NAME with or without a folder; a picture's ending or .json is taken off.
            edges: Write NAME.edges.png, too.
            overwrite: Write over files that are there already.

        Returns:
            The paths, in this order; of the edges before the last.

        Raises:
            OutputError: One of the files is there already, or can't be written.
        """
        pictures: dict[str, Callable[[], Image.Image | Strips]] = {".labels.png": self.label_image}
        if (decode := self.evidence.decode) is not None:
            pictures[".overlay.png"] = lambda: overlay_strips(decode(), self.labels, names=self._written())
        elif self.has_picture:
            pictures[".overlay.png"] = self.overlay
        if edges:
            pictures[".edges.png"] = lambda: by_attention.edge_image(
                self.edges, _at_most(MOST_FITTED_PX, self.evidence.size_hw)
            )
        return write_files(Path(name), pictures, self.to_dict(), overwrite=overwrite)


def _at_most(pixels: int, size_hw: tuple[int, int]) -> tuple[int, int]:
    """A size of the same shape with no more pixels."""
    scale = min(math.sqrt(pixels / math.prod(size_hw)), 1)
    return max(round(size_hw[0] * scale), 1), max(round(size_hw[1] * scale), 1)

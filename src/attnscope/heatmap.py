"""Word heat maps: where in the picture the words of the prompt landed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import interpolate

from attnscope.errors import MissingExtraError, ParameterError, SelectionError
from attnscope.files import whole_file
from attnscope.pictures.heat_colours import blend_heat, heat_picture
from attnscope.pictures.overlays import png_bytes
from attnscope.pictures.reading import Picture, load_picture
from attnscope.pictures.sizes import size_hw
from attnscope.records import Grid, Layer, TokenSpan
from attnscope.trace.selection import pick_number
from attnscope.trace.trace import Trace

if TYPE_CHECKING:
    from PIL.Image import Image

Preset = Literal["daam"]


@dataclass(frozen=True, eq=False, repr=False)
class HeatMap:
    """Where a word landed: the attention that it receives at each place of the picture.

    Attributes:
        array: At latent size, the share of attention that one token of the word receives, 0..1 (a sum with 'daam').
        image_size_hw: (height, width) of the picture in pixels, None if unknown.
        picture: The picture that the run made, None if the trace has none.
    """

    array: Float[np.ndarray, "height width"]
    word: str
    image_size_hw: tuple[int, int] | None = None
    picture: Image | None = None

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The map's numbers, for `np.asarray(heat_map)` and `plt.imshow(heat_map)`."""
        return np.array(self.array, dtype=dtype, copy=copy)

    def __eq__(self, other: object) -> bool:
        """The same word with the same numbers."""
        if not isinstance(other, HeatMap):
            return NotImplemented
        return self.word == other.word and np.array_equal(self.array, other.array)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        height, width = self.array.shape
        low, high = self.array.min(), self.array.max()
        return f"<HeatMap {self.word!r}, {height}x{width}, {low:.3g} to {high:.3g}, largest at {self.peak}>"

    @property
    def peak(self) -> tuple[int, int]:
        """(row, column) of the largest value on the latent grid."""
        row, column = np.unravel_index(int(self.array.argmax()), self.array.shape)
        return int(row), int(column)

    def resized(self, to_hw: tuple[int, int] | None = None) -> Float[np.ndarray, "height width"]:
        """The map at another size: bicubic, kept inside its own range.

        Args:
            to_hw: (height, width). Default: the picture's, or else the map's own.
        """
        target = to_hw or self.image_size_hw or self.array.shape
        source = torch.from_numpy(self.array)[None, None]
        larger = interpolate(source, size=tuple(target), mode="bicubic", align_corners=False)
        return larger[0, 0].clamp(float(self.array.min()), float(self.array.max())).numpy()

    def mask(self, threshold: float = 0.4) -> Bool[np.ndarray, "height width"]:
        """The places whose value is at least a share of the map's maximum, at latent size.

        Args:
            threshold: The share, 0..1.
        """
        if not 0 <= threshold <= 1:
            raise ParameterError(f"threshold {threshold}: expected a share of the map's maximum, 0 to 1")
        return (self.array >= threshold * self.array.max()) & (self.array > 0)

    def iou(self, other: HeatMap | Bool[np.ndarray, "height width"], *, threshold: float = 0.4) -> float:
        """Intersection over union of this map's mask and another mask, 0..1.

        Args:
            other: A heat map, or a mask of any size.
            threshold: As for `mask`.
        """
        theirs = other.mask(threshold) if isinstance(other, HeatMap) else np.asarray(other, dtype=bool)
        ours = self.mask(threshold)
        if ours.shape != theirs.shape:
            values = self.resized(theirs.shape)
            ours = (values >= threshold * self.array.max()) & (values > 0)
        union = int((ours | theirs).sum())
        return int((ours & theirs).sum()) / union if union else 1.0

    def overlay(
        self, image: Picture | None = None, *, opacity: float = 0.75, maximum: float | None = None
    ) -> Image:
        """The map over a picture.

        Args:
            image: Default: the picture of the run.
            opacity: Opacity of the colours where the map is largest, 0..1.
            maximum: The value with the brightest colour. Default: the map's maximum. Give one number to compare maps.
        """
        under = self.picture if image is None else load_picture(image)
        if under is None:
            raise ParameterError(
                f"the heat map of {self.word!r} has no picture to lie on: give one, overlay(image)"
            )
        top = float(self.array.max()) if maximum is None else maximum
        values = self.resized(size_hw(under)) / top if top > 0 else np.zeros(size_hw(under), np.float32)
        return blend_heat(under, values, opacity=opacity)

    def _repr_png_(self) -> bytes:
        """For notebooks: the overlay, or the map by itself where there is no picture."""
        return png_bytes(heat_picture(self.array) if self.picture is None else self.overlay())

    def plot(self, ax: Any = None, *, image: Picture | None = None) -> Any:
        """Draw the overlay with matplotlib, with a colour bar of the true values, and return the axes.

        Args:
            ax: matplotlib axes. Default: a new figure.
            image: Default: the picture of the run.
        """
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise MissingExtraError("plot needs matplotlib: pip install 'attnscope[plot]'") from error
        axes = ax if ax is not None else plt.subplots(layout="constrained")[1]
        under = self.picture if image is None else load_picture(image)
        values = self.array if under is None else self.resized(size_hw(under))
        if under is not None:
            axes.imshow(under)
        drawn = axes.imshow(values, cmap="inferno", alpha=0.6 if under is not None else 1.0, vmin=0)
        axes.figure.colorbar(drawn, ax=axes, label="share of attention")
        axes.set_title(self.word)
        axes.set_axis_off()
        return axes

    def save(self, path: str | Path, *, image: Picture | None = None) -> Path:
        """Write the overlay or the numbers to a file, whole or not at all, and return its path.

        Args:
            path: Ends in .png, .jpg or .webp for the overlay, in .npy for the numbers.
            image: Picture under the overlay. Default: the picture of the run.
        """
        target = Path(path)
        if target.suffix == ".npy":
            with whole_file(target) as partial:
                np.save(partial, self.array)
            return target
        if target.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
            raise ParameterError(f"{target}: expected .png, .jpg, .webp (a picture) or .npy (the numbers)")
        drawn = self.overlay(image)
        with whole_file(target) as partial:
            drawn.save(partial)
        return target


def heat_map(
    trace: Trace,
    word: str | int | TokenSpan,
    *,
    preset: Preset | None = None,
    steps: int | Sequence[int] | slice | None = None,
    blocks: int | Sequence[int] | None = None,
    heads: int | Sequence[int] | None = None,
    branch: str = "cond",
    image: int = 0,
    occurrence: int = 0,
    reduced: str | None = None,
) -> HeatMap:
    """Where a word or phrase of the prompt landed in the picture.

    Args:
        trace: From `attnscope.capture` or `attnscope.load_trace`.
        word: A word, a phrase, `<start>`, `<end>`, `<padding>`, a token number, or a span from `trace.span`.
        preset: 'daam' follows DAAM: without the coarsest grid, summed over steps, resized bicubically, clamped at 0.
        steps: Step numbers from 0, or a slice. Default: all.
        blocks: Block numbers from 1. Default: all.
        heads: Head numbers from 0. Default: all.
        branch: Guidance branch. 'uncond' reads the negative prompt, so it takes token numbers only.
        image: Which picture of the batch, from 0.
        occurrence: Which one of several such words in the prompt, from 0; -1 is the last.
        reduced: Name of maps from `capture(keep=...)`, for use without preset, steps, blocks and heads.

    Returns:
        Cross-attention to its tokens: the mean over steps, heads, tokens and blocks (resized bilinearly), 0..1.

    Raises:
        WordError: The prompt does not hold the word.
        SelectionError: The trace has no cross-attention, or no such block, step, head, branch or image.

    Cost: one softmax over all tokens for each step, block and head; memory of one layer's columns.
    Source: Tang et al. 2023 (DAAM), section 3. Differs: mean over steps, not sum, and the coarsest blocks count.

    >>> import attnscope
    >>> pipe = attnscope.load_pipeline("demo")
    >>> with attnscope.capture(pipe, kind="cross") as trace:
    ...     result = pipe("a red house", num_inference_steps=2)
    >>> attnscope.heat_map(trace, "house").array.shape
    (32, 32)
    """
    span = _as_span(trace, word, branch, image, occurrence)
    if reduced is not None:
        settled = {"preset": preset, "steps": steps, "blocks": blocks, "heads": heads}
        array = _reduced_map(trace, reduced, span, image, settled)
        return _heat_map(trace, array, span, image)
    layers = _cross_layers(trace, blocks, without_coarsest=preset == "daam" and blocks is None)
    size = trace.run.latent_size_hw or max((tuple(layer.grid) for layer in layers), key=math.prod)
    choice = {"step": steps, "branch": branch, "image": image, "head": heads, "token": list(span.tokens)}
    if preset not in (None, "daam"):
        raise ParameterError(f"preset {preset!r}: expected 'daam' or None")
    of_layer = _daam_map if preset == "daam" else _share_map
    total = torch.zeros(size, dtype=torch.float64)
    for layer in layers:
        total += of_layer(trace, layer, choice, size).cpu()
    return _heat_map(trace, total / len(layers), span, image)


def _heat_map(trace: Trace, shares: Tensor, span: TokenSpan, image: int) -> HeatMap:
    array = shares.cpu().numpy().astype(np.float32)
    return HeatMap(array, span.word, trace.run.image_size_hw, trace.picture_of(image))


def _reduced_map(
    trace: Trace, name: str, span: TokenSpan, image: int, settled: dict[str, Any]
) -> Float[Tensor, "height width"]:
    """Mean over layers and the word's tokens of maps that were reduced over steps, at latent size."""
    if given := [choice for choice, value in settled.items() if value is not None]:
        raise ParameterError(f"{', '.join(given)} can't be chosen for reduced maps: leave it out")
    maps = list(trace.reduced_maps(name, "cross").counted(image))
    size = trace.run.latent_size_hw or max((tuple(grid) for grid, _, _ in maps), key=math.prod)
    total = torch.zeros(size, dtype=torch.float64)
    for grid, layers, shares in maps:
        total += layers * _at_size(shares[:, list(span.tokens)].mean(-1), grid, size).cpu()
    return total / sum(layers for _, layers, _ in maps)


def _share_map(trace: Trace, layer: Layer, choice: dict[str, Any], size: tuple[int, int]) -> Tensor:
    """Mean over steps, heads and tokens of one layer, at latent size."""
    shares = trace.probabilities(block=layer.block, kind="cross", mean=("step", "head"), **choice)
    return _at_size(shares.mean(-1), layer.grid, size)


def _at_size(
    shares: Float[Tensor, query], grid: Grid, size: tuple[int, int]
) -> Float[Tensor, "height width"]:
    return interpolate(shares.reshape(1, 1, *grid), size=size, mode="bilinear", align_corners=False)[0, 0]


def _daam_map(trace: Trace, layer: Layer, choice: dict[str, Any], size: tuple[int, int]) -> Tensor:
    """DAAM's rule for one layer: sum over steps, bicubic, clamp, then mean over heads and tokens."""
    steps = pick_number("step", choice["step"], [step.index for step in trace.steps])
    summed = trace.probabilities(block=layer.block, kind="cross", mean="step", **choice) * len(
        steps.positions
    )
    maps = summed.movedim(-1, -2).reshape(1, -1, *layer.grid)  # heads and tokens side by side
    return interpolate(maps, size=size, mode="bicubic", align_corners=False).clamp(min=0).mean(1)[0]


def _as_span(
    trace: Trace, word: str | int | TokenSpan, branch: str, image: int, occurrence: int
) -> TokenSpan:
    if isinstance(word, TokenSpan):
        return word
    if isinstance(word, (int, np.integer)):
        tokens = trace.tokens(image) if branch == "cond" else ()
        text = tokens[word].text if 0 <= word < len(tokens) else f"[{word}]"
        return TokenSpan(text, 0, 0, (int(word),))
    if branch == "uncond":
        raise ParameterError(
            f"word {word!r} of the branch {branch!r}: words are those of the prompt, and this branch reads the "
            "negative prompt; give a token number"
        )
    return trace.span(word, image=image, occurrence=occurrence)


def _cross_layers(trace: Trace, blocks: Any, *, without_coarsest: bool) -> list[Layer]:
    layers = [layer for layer in trace.layers if layer.kind == "cross"]
    if not layers:
        raise SelectionError("this trace holds no cross-attention: capture without kind='self'")
    numbers = [layer.block for layer in layers]
    chosen = [layers[at] for at in pick_number("block", blocks, numbers).positions]
    if not without_coarsest:
        return chosen
    coarsest = min(layer.grid.size for layer in chosen)
    return [layer for layer in chosen if layer.grid.size > coarsest] or chosen

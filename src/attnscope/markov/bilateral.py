"""Joint bilateral upsampling: a map of the grid at a picture's size, along the picture's colours.

A pixel's value is a weighted mean of the cells around it, and the weights depend on the picture alone. They are
computed
once; each map is then one small product.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from attnscope.errors import ParameterError
from attnscope.probability.threads import in_tile_threads
from attnscope.records.layers import SizeHW

SPACE_SIGMA = 1.0
COLOUR_SIGMA = 0.1
RADIUS = 3.0
"""In sigmas."""
SAMPLES = 4
"""Of the picture a cell and axis, where no step is given."""
FAR = 1e4
"""A colour that no pixel has: what is outside of the picture weighs nothing."""
LEAST = 90.0
"""Of -log2(weight): 2 ** -90 is nothing beside the pixel's own weight, 1, and no denormal number, which is slow."""
TO_BASE_2 = math.log2(math.e) / 2


class _Band(NamedTuple):
    """Rows of pixels that read the same rows of cells."""

    rows: slice
    cells: Int[Tensor, " cell_row"]
    weights: Float[Tensor, "width row cells"]


@dataclass(frozen=True, eq=False, repr=False)
class Upsampling:
    """Upsampling of maps of one grid along one picture.

    Attributes:
        size_hw: (height, width) of the picture.
        grid: (height, width) of the maps.
        step_px: Down and across; every how many-th pixel around a pixel was compared with it.
        columns: The cells of each column of pixels.
        bands: Weights.
    """

    size_hw: SizeHW
    grid: SizeHW
    step_px: SizeHW
    columns: Int[Tensor, "width cell_column"]
    bands: tuple[_Band, ...]

    def __repr__(self) -> str:
        (height, width), (rows, columns) = self.size_hw, self.grid
        return f"<Upsampling of {rows}x{columns} cells to {height}x{width} px>"

    def __call__(
        self, maps: Float[Tensor, "*maps grid_height grid_width"]
    ) -> Float[Tensor, "*maps height width"]:
        """Maps at the picture's size.

        Args:
            maps: Any number of leading axes.

        Raises:
            ParameterError: They are of another grid.

        Cost: one reading of the weights, for all maps: 20 ms at 512x512 pixels.
        """
        if tuple(maps.shape[-2:]) != self.grid:
            raise ParameterError(
                f"maps have shape {tuple(maps.shape)}; expected (..., {self.grid[0]}, {self.grid[1]})"
            )
        flat = maps.reshape(-1, *self.grid).cpu()
        result = flat.new_empty((len(flat), *self.size_hw))

        def fill(band: _Band) -> None:
            cells = flat[:, band.cells][:, :, self.columns]  # (map, cell_row, width, cell_column)
            product = band.weights @ cells.permute(2, 1, 3, 0).flatten(1, 2).to(band.weights)
            result[:, band.rows] = product.permute(2, 1, 0).to(result)

        in_tile_threads(fill, self.bands)
        return result.view(*maps.shape[:-2], *self.size_hw)


def upsampling(
    picture: UInt8[np.ndarray, "height width 3"],
    grid: SizeHW,
    *,
    space_sigma: float = SPACE_SIGMA,
    colour_sigma: float = COLOUR_SIGMA,
    step_px: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> Upsampling:
    """Prepare the upsampling of maps along a picture.

    Args:
        picture: sRGB, 0 to 255.
        grid: (height, width) of the maps.
        space_sigma: In cells; pixels up to 3 sigma away have a say.
        colour_sigma: Of each channel in 0..1.
        step_px: 1 compares each pixel with all pixels around it, as the authors' program does; 2 with every second
            one down and
            across, and so on. By default a quarter of a cell, at least 1.
        dtype: torch.float32, or torch.float64.

    Returns:
        A function of maps. With step_px=1 its results are the authors' up to rounding.

    Raises:
        ParameterError: The picture is none, or a number is not above 0.

    Cost: 4 x 49 bytes and more a pixel are kept. Seconds: docs/clicks.md.
    Source: Kopf et al. 2007, "Joint Bilateral Upsampling", as M2N2 has it: the map is first interpolated bilinearly,
    and three
    channels are compared.
    """
    picture = np.asarray(picture)
    if picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise ParameterError(f"the picture has shape {picture.shape}; expected (height, width, 3)")
    if not (space_sigma > 0 and colour_sigma > 0 and math.isfinite(space_sigma + colour_sigma)):
        raise ParameterError(f"sigmas are {space_sigma} and {colour_sigma}; expected numbers above 0")
    if step_px is not None and (isinstance(step_px, bool) or not isinstance(step_px, int) or step_px < 1):
        raise ParameterError(f"step_px is {step_px!r}; expected a whole number of pixels from 1, or None")
    size = (picture.shape[0], picture.shape[1])
    down, across = (
        _axis(side, cells, space_sigma, step_px, dtype) for side, cells in zip(size, grid, strict=True)
    )
    colours = torch.from_numpy(np.array(picture)).to(dtype) * (math.sqrt(TO_BASE_2) / (255 * colour_sigma))
    bands = _bands(colours, down, across)
    return Upsampling(size, grid, (down.step, across.step), across.cells, tuple(bands))


class _Axis(NamedTuple):
    """Shifts along one axis, and what cells they lead to."""

    step: int
    shifts: range
    exponents: Float[Tensor, " shift"]
    cells: Int[Tensor, "pixel cell"]
    shares: Float[Tensor, "pixel shift cell"]


def _axis(side: int, cells: int, sigma: float, step_px: int | None, dtype: torch.dtype) -> _Axis:
    scale = side / cells * sigma
    step = step_px or max(1, int(side / cells / SAMPLES))
    reach = int(RADIUS * scale + 1) // step
    shifts = range(-reach * step, reach * step + 1, step)
    shift = torch.tensor(shifts)
    at = ((torch.arange(side)[:, None] + shift).clamp(0, side - 1).double() + 0.5) * (cells / side) - 0.5
    at = at.clamp(0, cells - 1)
    before = at.floor().long()
    after, way = (before + 1).clamp(max=cells - 1), at - before
    width = int((after[:, -1] - before[:, 0]).max()) + 1
    first = before[:, :1].clamp(max=cells - width)
    shares = torch.zeros(side, len(shifts), width, dtype=torch.float64)
    shares.scatter_add_(2, (before - first)[..., None], (1 - way)[..., None])
    shares.scatter_add_(2, (after - first)[..., None], way[..., None])
    return _Axis(step, shifts, shift.double() / scale, first + torch.arange(width), shares.to(dtype))


def _bands(colours: Float[Tensor, "height width 3"], down: _Axis, across: _Axis) -> list[_Band]:
    """The weights, row after row of cells."""
    height, wide, high = len(colours), across.shifts[-1], down.shifts[-1]
    squares = down.exponents[:, None] ** 2 + across.exponents**2
    space = torch.where(squares > RADIUS**2, torch.inf, squares * TO_BASE_2).to(colours)
    channels = colours.permute(2, 0, 1).contiguous()
    around = _Around(
        torch.nn.functional.pad(channels, (wide, wide, high, high), value=FAR), space, down, across
    )
    starts = [0, *(at for at in range(1, height) if down.cells[at, 0] != down.cells[at - 1, 0]), height]

    def band(number: int) -> _Band:
        rows = slice(starts[number], starts[number + 1])
        return _Band(rows, down.cells[rows.start], around.weights(channels, rows))

    return in_tile_threads(band, range(len(starts) - 1))


class _Around(NamedTuple):
    """The padded picture, and how much what is around a pixel weighs there for its distance alone."""

    padded: Float[Tensor, "3 padded_height padded_width"]
    space: Float[Tensor, "down across"]
    down: _Axis
    across: _Axis

    def weights(
        self, channels: Float[Tensor, "3 height width"], rows: slice
    ) -> Float[Tensor, "width row cells"]:
        """For each pixel of some rows the weight of every cell around it; they sum to 1."""
        shape = (*self.space.shape, channels.shape[2])
        scratch = channels.new_empty(shape), channels.new_empty(shape)
        weighed = [self._row(channels, row, *scratch) for row in range(rows.start, rows.stop)]
        return torch.stack(weighed, 1)

    def _row(
        self, channels: Tensor, row: int, sums: Float[Tensor, "down across width"], difference: Tensor
    ) -> Float[Tensor, "width cells"]:
        _, line, pixel = self.padded.stride()
        strides = (line * self.down.step, pixel * self.across.step, pixel)
        sums.copy_(self.space[..., None].expand_as(sums))
        for channel, padded in zip(channels[:, row], self.padded[:, row:], strict=True):
            around = padded.as_strided(sums.shape, strides, padded.storage_offset())
            torch.sub(around, channel, out=difference)
            sums.addcmul_(difference, difference)
        torch.exp2(sums.clamp_(max=LEAST).neg_(), out=difference)
        by_row = self.down.shares[row].T @ difference.flatten(1)  # (cell_row, across * width)
        by_row = by_row.view(-1, *sums.shape[1:]).permute(2, 0, 1).contiguous()
        cells = (by_row @ self.across.shares).flatten(1)
        return cells.div_(cells.sum(1, keepdim=True))

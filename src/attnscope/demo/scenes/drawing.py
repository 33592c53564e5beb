"""Draw a plan: stuff from back to front, then things, keeping for each pixel which part is seen there."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, UInt8

from attnscope.demo.scenes import stuff
from attnscope.demo.scenes.layout import PlacedThing, Plan
from attnscope.demo.scenes.palette import rgb, varied
from attnscope.demo.scenes.pen import Pen
from attnscope.demo.scenes.things import THINGS


class Canvas:
    """A picture under way. A label for each pixel says which part is seen there.

    Args:
        size_px: Side of the picture in pixels.
    """

    def __init__(self, size_px: int) -> None:
        self.size_px = size_px
        self.parts: list[str] = []
        self.picture: Float[np.ndarray, "size size 3"] = np.zeros((size_px, size_px, 3), np.float32)
        self.labels: Int[np.ndarray, "size size"] = np.zeros((size_px, size_px), np.int32)

    def lay(
        self,
        part: str,
        colour: Float[np.ndarray, "h w 3"],
        cover: Float[np.ndarray, "h w"],
        at: tuple[int, int],
    ) -> None:
        """Lay a part over the picture. It is seen where it covers at least half a pixel.

        Args:
            part: Its name.
            colour: Premultiplied sRGB, 0..1.
            cover: Share of each pixel that it covers, 0..1.
            at: (row, column) of its upper left corner.
        """
        row, column = at
        area = np.s_[row : row + cover.shape[0], column : column + cover.shape[1]]
        self.picture[area] = self.picture[area] * (1 - cover[..., None]) + colour
        self.labels[area][cover >= 0.5] = len(self.parts)
        self.parts.append(part)

    def finish(self) -> UInt8[np.ndarray, "size size 3"]:
        """The picture, sRGB 0..255."""
        return (np.clip(self.picture, 0, 1) * 255 + 0.5).astype(np.uint8)


def draw(plan: Plan, size_px: int, rng: np.random.Generator) -> Canvas:
    """Draw a plan as a square picture.

    Args:
        plan: The plan.
        size_px: Side of the picture in pixels.
        rng: Source of chance.
    """
    canvas = Canvas(size_px)
    if plan.sky == "wall":
        _lay_stuff(canvas, "wall", stuff.brick_wall, _below(size_px, 0), rng)
    else:
        _lay_stuff(canvas, "sky", stuff.SKIES[plan.sky], _below(size_px, 0), rng)
    if plan.hills is not None:
        texture = stuff.green_hills if plan.sky == "day" else stuff.dark_hills
        _lay_stuff(canvas, "hills", texture, _below(size_px, plan.hills + _skyline(rng, size_px)), rng)
    edge = 0.0 if plan.ground == "sea" or plan.sky == "wall" else 0.5 * _skyline(rng, size_px)
    _lay_stuff(canvas, plan.ground, stuff.GROUNDS[plan.ground], _below(size_px, plan.horizon + edge), rng)
    if plan.shore is not None:
        _lay_stuff(
            canvas, "sand", stuff.sand, _below(size_px, plan.shore + 0.4 * _skyline(rng, size_px)), rng
        )
    for thing in plan.things:
        _lay_thing(canvas, thing, rng)
    return canvas


def _lay_stuff(
    canvas: Canvas, part: str, texture: stuff.Texture, cover: stuff.Plane, rng: np.random.Generator
) -> None:
    picture = texture(canvas.size_px, rng)
    canvas.lay(part, picture * cover[..., None], cover, (0, 0))


def _lay_thing(canvas: Canvas, thing: PlacedThing, rng: np.random.Generator) -> None:
    """Paint the thing in its own box, light it from the upper left, and lay it down."""
    left, top, right, bottom = thing.box.pixels(canvas.size_px)
    pen = Pen(right - left, bottom - top)
    THINGS[thing.name].draw(pen, varied(rgb(thing.colour), rng), rng)
    layer = pen.lift()[: canvas.size_px - top, : canvas.size_px - left]
    across, down = np.linspace(0, 1, layer.shape[1]), np.linspace(0, 1, layer.shape[0])[:, None]
    light = (1.1 - 0.13 * across - 0.17 * down).astype(np.float32)
    lit = np.minimum(layer[..., :3] * light[..., None], layer[..., 3:])
    canvas.lay(thing.name, lit, layer[..., 3], (top, left))


def _below(size_px: int, height: float | Float[np.ndarray, size]) -> stuff.Plane:
    """1 below this height (a share of the side, or one for each column), 0 above, smooth in one pixel."""
    rows = np.arange(size_px, dtype=np.float32)[:, None] + 1
    return np.broadcast_to(np.clip(rows - np.asarray(height) * size_px, 0, 1), (size_px, size_px)).astype(
        np.float32
    )


def _skyline(rng: np.random.Generator, size_px: int) -> Float[np.ndarray, size]:
    """A rolling line around 0, within about 0.06 of the picture's side."""
    across = np.linspace(0, 2 * np.pi, size_px)
    slow, fast, quick = rng.uniform(0, 2 * np.pi, 3)
    return (
        0.03 * np.sin(across * 1.3 + slow)
        + 0.018 * np.sin(across * 2.9 + fast)
        + 0.006 * np.sin(across * 7 + quick)
    )

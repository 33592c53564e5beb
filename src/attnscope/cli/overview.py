"""The demo's summary sheet: one picture that shows what attnscope does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw

from attnscope.atlas import Section, sections
from attnscope.atlas.diagram import SCALE_TINTS, staircase
from attnscope.cli.run import about_run
from attnscope.pictures.overlays import overlay_labels
from attnscope.pictures.sheets import INK, PAPER, SOFT, Tile, font, stacked, tile_row

if TYPE_CHECKING:
    from attnscope.demo.segmented_scene import SceneResult
    from attnscope.heatmap.result import HeatMap
    from attnscope.segmentation.result import Segmentation
    from attnscope.trace.trace import Trace

_COLUMNS = 4
_SUPERSAMPLED = 3  # lines and round corners are drawn larger and scaled down
_EMPTY, _EDGE = "#f2f4f6", "#c3cad1"  # a unit without attention


def overview(
    pipe: Any,
    trace: Trace,
    maps: Sequence[HeatMap],
    generated: Segmentation,
    result: SceneResult,
) -> Image.Image:
    """One page: the picture, its words and segments; a scene with its truth; the U-Net's blocks.

    Args:
        pipe: The pipeline.
        trace: The trace of the picture.
        maps: A heat map for each word.
        generated: The segments of the picture.
        result: The segmented scene.
    """
    words = tile_row([*_generated_tiles(trace, maps), _segments_tile(generated)], columns=_COLUMNS)
    return stacked(
        "attnscope",
        "see, measure and use the attention inside diffusion models; all of this is from the tiny demo model",
        [
            (f"Where each word landed: “{trace.prompt()}”", words),
            ("Segments of a photo-like scene, from attention alone", tile_row(_scene_tiles(result))),
            (f"The {len(trace.layers)} attention layers behind it", unet_strip(sections(pipe), words.width)),
        ],
    )


def _generated_tiles(trace: Trace, maps: Sequence[HeatMap]) -> list[Tile]:
    picture = trace.picture or Image.new("RGB", (8, 8), PAPER)
    heats = [
        Tile(heat.overlay(), heat.word, f"peak {100 * heat.array.max():.1f} % of attention") for heat in maps
    ]
    return [Tile(picture, "the generated picture", about_run(trace)), *heats]


def _segments_tile(generated: Segmentation) -> Tile:
    return Tile(generated.overlay(), f"{len(generated)} segments", "from its own self-attention")


def _scene_tiles(result: SceneResult) -> list[Tile]:
    from attnscope.demo.scoring import partners

    drawn, segmentation = result.scene, result.found
    numbers = partners(segmentation.labels, drawn.segments)  # a match has the same colour in both
    names = dict(zip(numbers.tolist(), drawn.parts, strict=True))
    truth = overlay_labels(drawn.pil_image, numbers[drawn.segments], names=names)
    return [
        Tile(drawn.pil_image, "a drawn scene", "not among the training's"),
        Tile(truth, f"the truth: {len(drawn.parts)} parts", "known to the pixel"),
        Tile(segmentation.overlay(), f"{len(segmentation)} segments found", f"mean IoU {result.score:.2f}"),
        Tile(result.named.overlay(), "named by words", "through cross-attention"),
    ]


def unet_strip(unet_sections: Sequence[Section], width_px: int) -> Image.Image:
    """The U-Net as a small U: numbered blocks where there is attention, grey ones where there is none.

    Args:
        unet_sections: Its sections.
        width_px: Width of the drawing in pixels.
    """
    columns = staircase(unet_sections)
    levels = 1 + max(section.level for section in unet_sections)
    pitch = width_px * _SUPERSAMPLED / (columns[-1] + len(unet_sections[-1].units))
    box, row = 0.76 * pitch, pitch
    strip = Image.new("RGB", (width_px * _SUPERSAMPLED, round(levels * row)), PAPER)
    draw = ImageDraw.Draw(strip)
    text_px = round(0.34 * box)
    for section, column in zip(unet_sections, columns, strict=True):
        for i, unit in enumerate(section.units):
            left, top = (column + i) * pitch, section.level * row
            place = (left, top, left + box, top + box)
            tint = SCALE_TINTS[section.level % len(SCALE_TINTS)]
            fill, edge = (tint, INK) if unit.blocks else (_EMPTY, _EDGE)
            draw.rounded_rectangle(place, radius=0.16 * box, fill=fill, outline=edge, width=_SUPERSAMPLED)
            if unit.blocks:
                middle = (left + box / 2, top + box / 2)
                span = _span(unit.blocks)
                draw.text(middle, span, INK, font(text_px, span), anchor="mm")
    _write_scales(draw, unet_sections, columns, pitch, box)
    return strip.resize((width_px, round(levels * row / _SUPERSAMPLED)), Image.Resampling.LANCZOS)


def _write_scales(
    draw: ImageDraw.ImageDraw,
    unet_sections: Sequence[Section],
    columns: Sequence[int],
    pitch: float,
    box: float,
) -> None:
    """Each level's grid and its blocks, between the two arms of the U."""
    for level in sorted({section.level for section in unet_sections}):
        row = [
            (section, column)
            for section, column in zip(unet_sections, columns, strict=True)
            if section.level == level
        ]
        (left, start), (_, end) = row[0], row[-1]
        if len(row) != 2:
            continue  # the bottom has no room between its arms
        x = ((start + len(left.units)) * pitch - (pitch - box) + end * pitch) / 2
        y = level * pitch + box / 2
        numbers = [block.number for section, _ in row for block in section.blocks]
        blocks = f"blocks {', '.join(map(str, numbers))}" if len(numbers) < 8 else ""
        draw.text((x, y - 0.18 * box), f"{left.grid}", INK, font(round(0.34 * box)), "mm")
        draw.text((x, y + 0.2 * box), blocks, SOFT, font(round(0.24 * box)), "mm")


def _span(blocks: Sequence[Any]) -> str:
    numbers = [block.number for block in blocks]
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}–{numbers[-1]}"

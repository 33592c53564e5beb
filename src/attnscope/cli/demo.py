"""`attnscope demo`: everything once, on the model inside this package."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attnscope.cli.loading import load
from attnscope.cli.options import Device, Force, Json, Model, Output, Seed
from attnscope.cli.output import (
    counted,
    print_data,
    print_json,
    progress,
    refuse_overwriting,
    save_picture,
    say,
    say_wrote,
    working,
)
from attnscope.cli.targets import expect_folder, refuse_inside_a_trace

if TYPE_CHECKING:
    from attnscope.demo.segmented_scene import SceneResult
    from attnscope.segmentation.result import Segmentation

EXAMPLES = """Examples:

  attnscope demo

  attnscope demo "a blue star over a red house" -s 3 -o mine"""

PROMPT = "a green tree and a sun over grass under the sky"
SCENE_SEED = 5
STEPS = 20
_FILL_WORDS = {"a", "an", "the", "and", "on", "in", "of", "under", "over", "with"}  # not on the overview
_MOST_WORDS = 6
_OF_SEGMENTS = (".labels.png", ".overlay.png", ".json")
_FILES = (
    *("layers.md", "unet.svg", "scene.png", "scene.truth.png", "overview.png", "page.html", "summary.json"),
    *(name + ending for name in ("output", "scene", "scene.named") for ending in _OF_SEGMENTS),
)


def demo_command(
    prompt: Annotated[str, typer.Argument(help="What the picture should show.")] = PROMPT,
    model: Model = "demo",
    output: Output = Path("attnscope-demo"),
    seed: Seed = 0,
    scene_seed: Annotated[
        int, typer.Option("--scene", help="Number of the drawn scene to segment.")
    ] = SCENE_SEED,
    device: Device = None,
    as_json: Json = False,
    force: Force = False,
) -> None:
    """Make a picture, map its words and segments, and score segments on a scene whose truth is known.

    Needs no download, and takes under 90 seconds on two cores. Look at overview.png first.
    """
    expect_folder(output, "pictures, a trace and tables")
    refuse_inside_a_trace(output)
    with working("loading torch"):
        from attnscope.cli.overview import overview
        from attnscope.cli.run import draw_words, run_captured, written
        from attnscope.demo import GUIDANCE_SCALE
        from attnscope.demo.segmented_scene import segment_scene
        from attnscope.generating.plan import Plan
        from attnscope.segmentation.segment import segment_trace
        from attnscope.viewer.export import export_page

    files, folders = written(output)
    refuse_overwriting(*files, *(output / name for name in _FILES), folders=folders, force=force)
    pipe = load(model, device=device)
    write_tables(pipe, output)
    _, trace = run_captured(
        pipe, Plan(prompt, seed, STEPS, guidance_scale=GUIDANCE_SCALE, keep={"branch": "cond"}), output
    )
    maps = draw_words(trace, output)
    with progress("segments") as bars:
        task = bars.add_task("segments", total=2)
        generated = segment_trace(trace, pipe=pipe)
        bars.advance(task)
        result = segment_scene(pipe, scene_seed)
        bars.advance(task)
    for path in generated.save(output / "output", overwrite=True):
        say_wrote(path)
    write_scene(result, output)
    shown = [heat for heat in maps if heat.word.lower() not in _FILL_WORDS][:_MOST_WORDS]
    save_picture(overview(pipe, trace, shown, generated, result), output / "overview.png")
    with progress("page") as bars:
        say_wrote(
            export_page(
                trace,
                output / "page.html",
                single_steps=0,
                overwrite=True,
                progress=counted(bars, "page.html"),
            )
        )
    summary = _summary(prompt, seed, generated, result)
    _write(output / "summary.json", json.dumps(summary, indent=1) + "\n")
    if as_json:
        print_json(summary)
    else:
        say("")
        print_data(_words_about(summary, output))


def write_tables(pipe: Any, folder: Path) -> None:
    """Write layers.md and unet.svg, which say what attention the model has.

    Args:
        pipe: The pipeline.
        folder: Where to write.
    """
    from attnscope.atlas import layers
    from attnscope.atlas.diagram import diagram
    from attnscope.cli.layer_tables import markdown_tables

    _write(folder / "layers.md", markdown_tables(layers(pipe)))
    _write(folder / "unet.svg", diagram(pipe, name="the demo model"))


def write_scene(result: SceneResult, folder: Path) -> None:
    """Write the scene, its true masks, and the segments that were found.

    Args:
        result: The segmented scene.
        folder: Where to write.
    """
    from attnscope.pictures.overlays import indexed_png

    save_picture(result.scene.pil_image, folder / "scene.png")
    save_picture(indexed_png(result.scene.segments), folder / "scene.truth.png")
    for name, segmentation in (("scene", result.found), ("scene.named", result.named)):
        for path in segmentation.save(folder / name, overwrite=True):
            say_wrote(path)


def _summary(prompt: str, seed: int, generated: Segmentation, result: SceneResult) -> dict[str, Any]:
    from attnscope.segmentation.recipe import as_dict

    return {
        "prompt": prompt,
        "seed": seed,
        "segments_of_picture": len(generated),
        "scene": {
            "seed": result.scene.seed,
            "caption": result.scene.caption,
            "parts": list(result.scene.parts),
            "segments": len(result.found),
            "mean_iou": round(result.score, 4),
            "thresholds": as_dict(result.found.recipe)["thresholds"],
        },
    }


def _words_about(summary: dict[str, Any], folder: Path) -> str:
    scene, trace = summary["scene"], shlex.quote(str(folder / "run.trace"))
    return (
        f"{folder / 'overview.png'}: look at this first, then click through {folder / 'page.html'}\n"
        f"picture of {summary['prompt']!r}: {summary['segments_of_picture']} segments\n"
        f"scene {scene['seed']} ({scene['caption']}): {scene['segments']} segments found, "
        f"{len(scene['parts'])} true ones, mean IoU {scene['mean_iou']:.2f}\n"
        f"any block, head and step too, with a server:  attnscope view {trace}"
    )


def _write(path: Path, text: str) -> None:
    from attnscope.files import whole_file

    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
    say_wrote(path)

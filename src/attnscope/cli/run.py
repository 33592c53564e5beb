"""One captured run of a pipeline into a folder: the picture, its trace, its words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnscope.cli.layer_tables import readable_bytes
from attnscope.cli.options import MAX_TRACE_GB
from attnscope.cli.output import counted, progress, save_picture, say, say_wrote
from attnscope.cli.word_maps import save_maps
from attnscope.errors import AttnscopeError, ModelError, ParameterError
from attnscope.files import whole_folder
from attnscope.files.names import file_names
from attnscope.generating.plan import Plan, call_arguments, trace_size
from attnscope.pictures.sheets import Tile, stacked, tile_row
from attnscope.storage.saving import check_replaceable, is_trace
from attnscope.trace.files import load_trace

if TYPE_CHECKING:
    from PIL.Image import Image

    from attnscope.heatmap.result import HeatMap
    from attnscope.trace.trace import Trace

_SHEET_COLUMNS = 5


def run_captured(
    pipe: Any, plan: Plan, folder: Path, *, max_trace_gb: float = MAX_TRACE_GB
) -> tuple[Image, Trace]:
    """Run the pipeline. Writes folder/run.trace step by step, or in place of an older one at the end, and output.png.

    Args:
        pipe: The pipeline.
        plan: What to make and to keep.
        folder: Where to write.
        max_trace_gb: A trace that would be larger is refused before the run.

    Raises:
        ParameterError: The prompt is empty, there are no steps, the pipeline can't do what is asked, or the trace
            would be too large.
        OutputError: Something else than a trace has the trace's name.
    """
    from attnscope.recording.capture import capture

    arguments = call_arguments(pipe, plan, _as_option)
    _check_size_of_trace(pipe, plan, arguments, max_trace_gb)
    where = folder / "run.trace"
    check_replaceable(where, remedy="name another folder with -o")
    older_words = _word_files_of(where)
    with (
        progress("denoising") as bars,
        _in_place_of(where) as place,
        capture(pipe, where=place, **_told_of_steps(pipe, lambda: bars.advance(task)), **plan.keep),
    ):
        task = bars.add_task("denoising", total=arguments["num_inference_steps"])
        image = pipe(**arguments).images[0]
    for file in older_words:
        file.unlink(missing_ok=True)
    say_wrote(where)
    save_picture(image, folder / "output.png")
    return image, load_trace(where)


def _told_of_steps(pipe: Any, advance: Callable[[], object]) -> dict[str, Any]:
    """A pipeline without a scheduler of its own runs without a bar."""
    has_steps = hasattr(getattr(pipe, "scheduler", None), "step")
    return {"on_step": lambda taken: advance()} if has_steps else {}


def _as_option(setting: str) -> str:
    return f"--{setting.replace('_', '-')}"


def _check_size_of_trace(pipe: Any, plan: Plan, arguments: dict[str, Any], max_trace_gb: float) -> None:
    """Refuse, before the run, a trace that would fill the disk."""
    try:
        size = trace_size(pipe, plan, arguments)
    except ModelError as error:
        say(f"the size of the trace is not known before the run: {error}")
        return
    if size.bytes > max_trace_gb * 1e9:
        raise ParameterError(
            f"the trace would take {readable_bytes(size.bytes)}, {readable_bytes(size.a_step)} a step, "
            f"more than --max-trace-gb {max_trace_gb:g}; keep less (--keep cross, --keep-every 5, "
            "--keep-branch cond), use --dtype float16, or raise the limit"
        )


def written(folder: Path) -> tuple[list[Path], list[Path]]:
    """The files that a run writes into a folder, and the folders that it makes there.

    Args:
        folder: Where the run writes.
    """
    return [folder / "output.png", folder / "words.png"], [folder / "run.trace", folder / "words"]


def draw_words(trace: Trace, folder: Path) -> list[HeatMap]:
    """Write one heat map a word as folder/words/WORD.png, and all of them as folder/words.png.

    Args:
        trace: The trace.
        folder: Where to write.
    """
    from attnscope.heatmap.heat_map import heat_maps

    with progress("heat maps") as bars:
        maps = heat_maps(trace, progress=counted(bars, "heat maps"))
    save_maps(maps, _word_files(folder, [heat.word for heat in maps]), same_scale=False, numbers=False)
    save_picture(contact_sheet(trace, maps), folder / "words.png")
    return maps


def contact_sheet(trace: Trace, maps: Sequence[HeatMap]) -> Image:
    """The picture and all its words on one page.

    Args:
        trace: The trace.
        maps: A heat map for each word.
    """
    from PIL import Image as Pillow

    picture = trace.picture or Pillow.new("RGB", (8, 8))
    tiles = [Tile(picture, "the picture"), *map(word_tile, maps)]
    subtitle = f"{about_run(trace)}; brightest: where the word receives most attention"
    return stacked(trace.prompt(), subtitle, [("", tile_row(tiles, columns=min(len(tiles), _SHEET_COLUMNS)))])


def about_run(trace: Trace) -> str:
    """Steps, guidance and model of a run in a few words. A local model has its name, not its path.

    Args:
        trace: The trace.
    """
    run = trace.run
    model = run.model or ""
    model = "demo model" if model == "demo" else Path(model).name if Path(model).exists() else model
    guidance = "" if run.guidance_scale is None else f"guidance {run.guidance_scale:g}"
    return ", ".join(filter(None, (f"{len(trace.steps)} steps", guidance, model)))


def word_tile(heat: HeatMap) -> Tile:
    """A heat map with its strength: the attention that a token of the word gets at its peak and on average.

    Args:
        heat: The map.
    """
    note = f"mean {100 * heat.array.mean():.2f} %, peak {100 * heat.array.max():.2f} %"
    return Tile(heat.overlay(), heat.word, note)


def _word_files(folder: Path, words: Sequence[str]) -> list[Path]:
    return [folder / "words" / f"{name}.png" for name in file_names(words)]


@contextmanager
def _in_place_of(trace: Path) -> Iterator[Path]:
    """Where a run is recorded: at once under its name, or beside an older trace, which it replaces when it is whole."""
    if not is_trace(trace):
        yield trace
        return
    with whole_folder(trace, overwrite=True) as partial:
        yield partial


def _word_files_of(trace: Path) -> list[Path]:
    """The pictures of an older trace's words, which go with it. A damaged one does not know its words."""
    with suppress(AttnscopeError):
        return _word_files(trace.parent, [span.word for span in load_trace(trace).words()])
    return []

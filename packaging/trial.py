"""What attnscope does without its extras: `python packaging/trial.py`, in an environment of the base dependencies.

What needs no extra has to work. What needs one has to end with one line that names it.
"""

from __future__ import annotations

import importlib.util
import io
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

EXTRAS = (
    *(
        "matplotlib",
        "sklearn",
        "skimage",
        "kornia",
        "pyarrow",
        "pandas",
    ),
    *("xarray", "fastapi", "uvicorn", "ray", "av", "segno", "triton"),
)
"""Packages of the extras. fsspec is not among them: torch brings it."""
HEAVY = ("torch", "numpy", "PIL", "typer", *EXTRAS)
MOST_SECONDS = 1.0  # of `import attnscope`

WORKS = (
    "--version",
    "--help",
    "layers sd1",
    "layers demo --json",
    "info made.trace",
    "info made.trace --verify",
    "heatmap made.trace red cat -o maps",
    "heatmap made.trace cat --animate -o steps.gif",
    "explain made.trace -o explained",
    "segment made.trace -o segments",
    "segment made.trace -t auto --labels cat -o automatic",
    "segment made.trace --method ncut -o cut",
    "compare made.trace -o compared.png",
    "report made.trace -o report.html",
    "export made.trace page.html",
    "generate cat -n 2 -o made",
    "heatmap photo.png cat -o photo",
    "explain made cat --model demo -o again",
    "segment photo.png -o photo",
    "evaluate scenes:1 -o scores",
    "demo -o demo",
)
REFUSED = {
    "studio": "studio",
    "view": "studio",
    "view made.trace": "viewer",
    "heatmap made.trace cat --animate -o steps.mp4": "video",
    "segment made.trace --method words --labels cat -o words": "segment",
    "segment made.trace --fit -o fitted": "segment",
    "segment made.trace --refine -o refined": "refine",
    "segment photos": "folders",
}


def main() -> None:
    """Try everything in a temporary folder; end with 1 where something is not as it should be."""
    if there := [package for package in EXTRAS if importlib.util.find_spec(package)]:
        sys.exit(
            f"{', '.join(there)} can be imported here; expected an environment of the base dependencies alone"
        )
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        wrong = [*wrong_import(), *wrong_names(), *wrong_commands(), *wrong_calls()]
    sys.stdout.write("".join(f"{line}\n" for line in wrong))
    sys.stdout.write(
        f"without extras: {len(WORKS)} commands that work, {len(REFUSED)} that name their extra, "
    )
    sys.stdout.write(f"{len(wrong)} things wrong\n")
    sys.exit(bool(wrong))


def wrong_import() -> Iterator[str]:
    """Importing the package takes no time and loads nothing heavy."""
    began = time.perf_counter()
    import attnscope

    seconds = time.perf_counter() - began
    sys.stdout.write(f"import attnscope {attnscope.__version__}: {seconds:.2f} s\n")
    if seconds > MOST_SECONDS:
        yield f"import attnscope took {seconds:.2f} s; expected at most {MOST_SECONDS} s"
    if loaded := [package for package in HEAVY if package in sys.modules]:
        yield f"import attnscope loaded {', '.join(loaded)}; expected none of them"


def wrong_names() -> Iterator[str]:
    """Every public name is there, whether or not what it needs is."""
    import attnscope

    for name in attnscope.__all__:
        try:
            getattr(attnscope, name)
        except Exception as error:
            yield f"attnscope.{name}: {type(error).__name__}: {error}"


def wrong_commands() -> Iterator[str]:
    """Commands that need no extra, and commands that need one."""
    from PIL import Image

    from attnscope.testing import made_trace

    trace = made_trace(grids=((16, 16), (8, 8), (16, 16)))
    trace.run.model = "made"  # so that a command asks for none
    picture = Image.new("RGB", (128, 128), "orange")
    trace.run.pictures = [picture]
    trace.save("made.trace")
    picture.save("photo.png")
    Path("photos").mkdir()
    for name in ("a", "b"):
        picture.save(f"photos/{name}.png")
    for command in WORKS:
        code, said = ran(command)
        if code != 0:
            yield f"attnscope {command}: exit code {code}, expected 0: {said}"
    for command, extra in REFUSED.items():
        code, said = ran(command)
        if code != 1 or not names(said, extra):
            yield f"attnscope {command}: exit code {code}, expected 1 and one line with [{extra}]: {said}"


def wrong_calls() -> Iterator[str]:
    """The same from Python."""
    import attnscope

    trace = attnscope.load_trace("made.trace")
    row = trace.probabilities(block=1, kind="self", query=(3, 4))
    if abs(row.sum(dim=-1) - 1).max() > 1e-5:
        yield "a row of probabilities does not sum to 1"
    attnscope.segment_trace(trace)
    attnscope.click(trace, [(64, 64)], layers=[1])
    for name, (call, extra) in refused_calls(trace).items():
        try:
            call()
            said = "it worked"
        except attnscope.errors.MissingExtraError as error:
            said = str(error)
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        if not names(said, extra):
            yield f"{name}: expected an error with [{extra}]: {said}"


def refused_calls(trace: Any) -> dict[str, tuple[Callable[[], Any], str]]:
    """Calls that need an extra, by what they are.

    Args:
        trace: A trace.
    """
    import attnscope
    from attnscope.jobs.ray_engine import RayEngine

    heat = attnscope.heat_map(trace, "cat")
    statistics = attnscope.statistics(trace)
    named = trace.probabilities(block=1, kind="cross", named=True)
    return {
        "HeatMap.plot": (heat.plot, "plot"),
        "MapDifference.plot": (lambda: attnscope.difference(heat, heat).plot(), "plot"),
        "Segmentation.plot": (lambda: attnscope.segment_trace(trace).plot(), "plot"),
        "Explanation.plot": (lambda: attnscope.explain(trace).plot(), "plot"),
        "word_table": (lambda: attnscope.word_table(trace), "tables"),
        "statistics.to_pandas": (statistics.to_pandas, "tables"),
        "to_xarray": (named.to_xarray, "tables"),
        "animate to MP4": (lambda: attnscope.animate(trace, "cat", "cat.mp4"), "video"),
        "RayEngine": (lambda: list(RayEngine().rows(None, [None])), "ray"),  # type: ignore[arg-type,list-item]
        "viewer": (lambda: attnscope.viewer.serve, "viewer"),
        "studio": (lambda: importlib.import_module("attnscope.studio"), "studio"),
    }


def ran(command: str) -> tuple[int, str]:
    """Exit code of a command, and what it said to stderr.

    Args:
        command: Without the program's name.
    """
    from attnscope.cli import main as attnscope_main

    said = io.StringIO()
    with redirect_stderr(said), redirect_stdout(io.StringIO()):
        code = attnscope_main(command.split())
    return code, said.getvalue().strip()


def names(said: str, extra: str) -> bool:
    """Whether a message is one line that says how to install the extra.

    Args:
        said: The message.
        extra: The extra's name.
    """
    return f'pip install "attnscope[{extra}]"' in said and "\n" not in said


if __name__ == "__main__":
    main()

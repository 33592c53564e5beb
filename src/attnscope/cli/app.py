"""The command `attnscope`: its parts, its exit codes, and how it reports errors.

Exit codes: 0 done, 1 failed, 2 wrong use, 130 Ctrl+C, 143 SIGTERM. Data goes to stdout, words go to stderr.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import platform
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Annotated, Any

import typer

from attnscope._version import __version__
from attnscope.cli import (
    compare,
    demo,
    doctor,
    evaluate,
    explain,
    export,
    generate,
    heatmap,
    info,
    layers,
    report,
    segment,
    studio,
    view,
)
from attnscope.cli.ending import interrupted_by_signals
from attnscope.cli.output import print_data, say_error, say_warning
from attnscope.cli.terminal import flush_all, writable_streams
from attnscope.errors import AttnscopeError, ParameterError

_INTERRUPTED = 130  # Ctrl+C, as shells have it

app = typer.Typer(
    name="attnscope",
    help="See, measure and use the attention inside diffusion models.",
    epilog="Start with:  attnscope demo",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print_data(f"attnscope {__version__}\n{', '.join(_beside())}")
        raise typer.Exit


def _beside() -> Iterator[str]:
    """What a report of a bug has to say beside the version. Nothing is imported for it."""
    yield f"Python {platform.python_version()}"
    for package in ("torch", "diffusers", "transformers", "safetensors", "numpy"):
        with suppress(importlib.metadata.PackageNotFoundError):
            yield f"{package} {importlib.metadata.version(package)}"
    yield f"{platform.system()} {platform.machine()}"


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_version,
            is_eager=True,
            help="Print the versions of attnscope and its libraries.",
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show an error's traceback; works after the command, too.")
    ] = False,
) -> None:
    """See, measure and use the attention inside diffusion models."""


def _add(name: str, command: Callable[..., None], examples: str) -> None:
    """Add a command whose help is its docstring, with lines as long as the terminal is wide."""
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    app.command(name, help="\n\n".join(" ".join(each.split()) for each in paragraphs), epilog=examples)(
        command
    )


_add("demo", demo.demo_command, demo.EXAMPLES)
_add("layers", layers.layers_command, layers.EXAMPLES)
_add("generate", generate.generate_command, generate.EXAMPLES)
_add("heatmap", heatmap.heatmap_command, heatmap.EXAMPLES)
_add("explain", explain.explain_command, explain.EXAMPLES)
_add("segment", segment.segment_command, segment.EXAMPLES)
_add("evaluate", evaluate.evaluate_command, evaluate.EXAMPLES)
_add("compare", compare.compare_command, compare.EXAMPLES)
_add("view", view.view_command, view.EXAMPLES)
_add("studio", studio.studio_command, studio.EXAMPLES)
_add("export", export.export_command, export.EXAMPLES)
_add("report", report.report_command, report.EXAMPLES)
_add("doctor", doctor.doctor_command, doctor.EXAMPLES)
_add("info", info.info_command, info.EXAMPLES)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. It never raises.

    Args:
        arguments: Default: the command line's.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    with interrupted_by_signals() as signals:
        try:
            code = _written([word for word in words if word != "--debug"], debug)
        except KeyboardInterrupt:
            code = _INTERRUPTED
    return 128 + signals[0] if signals else code


def _written(words: list[str], debug: bool) -> int:
    """The exit code of a command, once all that it printed is written."""
    with writable_streams() as streams:
        code = _run(words, debug)
        try:
            flush_all(streams)
        except BrokenPipeError:
            return 1  # whoever read it has seen enough
        except OSError as error:
            _report(f"can't read or write the output: {error.strerror}", debug)
            return 1
    return code


def _run(words: list[str], debug: bool) -> int:
    try:
        with warnings.catch_warnings():
            _tell_warnings(debug)
            app(words, prog_name="attnscope")
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except AttnscopeError as error:
        _report(str(error), debug)
        return 2 if isinstance(error, ParameterError) else 1
    except OSError as error:
        place = error.filename or "the output"
        _report(f"can't read or write {place}: {error.strerror or error}", debug)
        return 1
    except Exception as error:
        _report(f"unexpected {type(error).__name__}: {error} (run again with --debug to see where)", debug)
        return 1
    return 0


def _tell_warnings(debug: bool) -> None:
    """attnscope's own warnings as one line each; those of libraries only with --debug."""

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        if debug or category.__module__.startswith("attnscope"):
            say_warning(str(message))

    warnings.showwarning = show


def _report(message: str, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    say_error(message)

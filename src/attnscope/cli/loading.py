"""Loading a model or a trace for a command: libraries kept quiet, a spinner while it takes its time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnscope.cli.output import say, working
from attnscope.errors import AttnscopeError, ParameterError
from attnscope.files import is_folder
from attnscope.pipelines.quiet import quiet_libraries

if TYPE_CHECKING:
    from attnscope.trace.trace import Trace


def load(
    model: str, *, config: Path | None = None, device: str | None = None, dtype: str | None = None
) -> Any:
    """`attnscope.load_pipeline` without the libraries' own messages. Downloads keep their progress bars.

    Args:
        model: As for `attnscope.load_pipeline`.
        config: A folder with the model's configuration, or None.
        device: As for `attnscope.load_pipeline`.
        dtype: As for `attnscope.load_pipeline`.
    """
    extra = {} if config is None else {"config": str(config)}
    is_local = model == "demo" or Path(model).exists()
    with quietly(f"loading {model}" if is_local else "loading diffusers"):
        from attnscope.pipelines import load_pipeline

        if is_local:
            pipe = load_pipeline(model, device=device, dtype=dtype, **extra)
    if not is_local:  # downloads draw bars of their own, which a spinner would tear
        say(f"loading {model}")
        pipe = load_pipeline(model, device=device, dtype=dtype, **extra)
    pipe.set_progress_bar_config(disable=True)  # the command shows its own
    return pipe


def load_unless_traces(model: str, images: Sequence[Path], **loading: Any) -> Any:
    """As `load`; None where all are traces that know their model, since segments of those ask for nothing else.

    Args:
        model: As for `load`.
        images: Pictures and traces. A single one is looked at before the model is loaded.
        **loading: As for `load`.

    Raises:
        ParameterError: Another model than the traces' own was asked for.
        AttnscopeError: The only picture or trace is missing or can't be read.
    """
    made_by: list[list[str]] = []
    for image in images:
        try:
            made_by.append(_models_of(image))
        except AttnscopeError:  # of one of several it is said where it is opened
            if len(images) == 1:
                raise
            made_by.append([])
    if not all(made_by):
        return load(model, **loading)
    known = sorted({name for names in made_by for name in names})
    if model != "demo" and os.path.realpath(model) not in map(os.path.realpath, known):
        raise ParameterError(
            f"--model {model}: the segments of a trace come from the trace alone, here of {', '.join(known)}: leave it "
            "out"
        )
    return None


def _models_of(image: Path) -> list[str]:
    """The models that made a trace; none of a picture, whose header is read, and where a pass does not know."""
    from attnscope.pictures.reading import check_header
    from attnscope.trace.files import load_trace

    if not is_folder(image):
        check_header(image)
        return []
    models = [each.run.model for each in load_trace(image).passes]
    return [name for name in models if name] if all(models) else []


def open_pass(folder: Path, number: int | None) -> Trace:
    """A trace, or one pass of it.

    Args:
        folder: The trace.
        number: Number of the pass, from 0. None: the only one.

    Raises:
        ParameterError: There is no such pass, or there are several and none was chosen.
    """
    from attnscope.trace.files import load_trace

    passes = load_trace(folder).passes
    if number is None and len(passes) > 1:
        raise ParameterError(
            f"{folder} has {len(passes)} passes: choose one with --pass, from 0 to {len(passes) - 1}"
        )
    at = number or 0
    if not 0 <= at < len(passes):
        raise ParameterError(f"--pass {number}: {folder} has passes 0 to {len(passes) - 1}")
    return passes[at]


@contextmanager
def quietly(doing: str) -> Iterator[None]:
    """While models are loaded: a spinner in place of the libraries' own messages.

    Args:
        doing: What the spinner says.
    """
    with working(doing):
        quiet_libraries()
        yield

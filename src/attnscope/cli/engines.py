"""Options of where many pictures are worked on, which several commands have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from attnscope.errors import ParameterError

if TYPE_CHECKING:
    from attnscope.jobs import job

MANY = "Many pictures"
"""The panel of these options in a command's help."""
Engine = Annotated[
    Literal["loop", "ray"],
    typer.Option("--engine", help="loop: one process; ray: Ray workers.", rich_help_panel=MANY),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="Address of a Ray cluster, or auto; by default one is started on this machine.",
        rich_help_panel=MANY,
    ),
]
Workers = Annotated[
    int | None, typer.Option("--workers", help="Number of Ray workers; 2 by default.", rich_help_panel=MANY)
]
Gpus = Annotated[
    float | None,
    typer.Option(
        "--gpus-per-worker", help="GPUs for each worker, also a fraction; 0 by default.", rich_help_panel=MANY
    ),
]


def engine_named(name: str, address: str | None, workers: int | None, gpus: float | None) -> job.Engine:
    """The engine that options choose.

    Args:
        name: "loop" or "ray".
        address: Of a cluster.
        workers: How many.
        gpus: Of each worker.

    Raises:
        ParameterError: An option of Ray's without Ray, or a number outside its range.
    """
    if name == "ray":
        from attnscope.jobs.ray_engine import RayEngine

        return RayEngine(address, workers, num_gpus=gpus or 0)
    if (address, workers, gpus) != (None, None, None):
        raise ParameterError("--address, --workers and --gpus-per-worker are for --engine ray; add it")
    from attnscope.jobs.loop import Loop

    return Loop()

"""Whether the model saw the whole picture, and nothing else: only then can its places be drawn on the picture."""

from __future__ import annotations

from attnscope.errors import SelectionError
from attnscope.records import Run

CELLS = 1.5
"""How far the shapes may differ, in latent places: pipelines pad and crop to whole ones."""


def check_shows_picture(run: Run) -> None:
    """Refuse to draw a model's places on a picture of another shape, as when it saw views of it one by one.

    Args:
        run: What is known of the run. Unknown sizes pass.

    Raises:
        SelectionError: The shapes differ.
    """
    if run.image_size_hw is None or run.latent_size_hw is None:
        return
    (height, width), (rows, columns) = run.image_size_hw, run.latent_size_hw
    cell = max(height / rows, width / columns)
    if abs(height - width * rows / columns) > CELLS * cell:
        raise SelectionError(
            f"the model worked on {rows}x{columns} latent places, which is not the shape of the {height}x{width} "
            "picture: it saw parts of the picture one by one, or others beside it, or the pipeline cut the picture "
            "afterwards (use_resolution_binning=False leaves it whole). Maps would be misplaced; trace.probabilities "
            "gives the attention of each call"
        )

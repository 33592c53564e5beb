"""The entry for clicks: a photo or a trace, and points on a thing, to the thing's mask."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attnscope.errors import ParameterError
from attnscope.files import is_folder
from attnscope.markov.chain import TEMPERATURE
from attnscope.markov.walking import THRESHOLD
from attnscope.pictures.reading import Picture
from attnscope.segmentation.click_evidence import clicks_on_photo, clicks_on_trace
from attnscope.segmentation.clicks import ClickMask
from attnscope.spelling import refuse_choices
from attnscope.trace.files import as_trace
from attnscope.trace.trace import Trace


def click(
    picture: Picture | Trace,
    plus: Sequence[tuple[float, float]],
    minus: Sequence[tuple[float, float]] = (),
    pipe: Any = None,
    *,
    layers: Sequence[int | str] | None = None,
    weights: Sequence[float] | None = None,
    threshold: float = THRESHOLD,
    temperature: float = TEMPERATURE,
    step_px: int | None = None,
    most_pixels: int | None = None,
    timestep: int | None = None,
    steps: int | Sequence[int] | slice | None = None,
    branch: str | None = None,
    image: int | None = None,
    shown: Picture | None = None,
    further: bool = True,
) -> ClickMask:
    """The mask of the thing that was clicked on, found without training by the self-attention of a diffusion model.

    Args:
        picture: A photo: a path, a PIL image, an array; or a trace, or the folder of one.
        plus: Points on the thing: (x, y) in pixels from the upper left corner.
        minus: Points beside it.
        pipe: For a photo: a text-to-image pipeline of diffusers, as for `attnscope.segment`.
        layers: Numbers of blocks, or paths of modules, whose self-attention is averaged; all of one grid. By default,
            of a U-Net the finest grid on the way up without its last layer; of a transformer all of the image to
            itself.
        weights: A number for each of `layers`; equal by default.
        threshold: Share of the largest probability at which a place is reached, 0 to 1.
        temperature: Of the attention; below 1 sharpens.
        step_px: See `attnscope.markov.upsampling`; 1 as in the authors' program, which takes far longer.
        most_pixels: A larger picture is decided at this area, 512 * 512 by default, and its mask is enlarged.
        timestep: For a photo: of the pass, 0 to 999; 100 by default.
        steps: For a trace: steps whose attention is averaged; all captured ones by default.
        branch: For a trace: guidance branch; "cond" by default.
        image: For a trace: number of the image in the batch; 0 by default.
        shown: For a trace: the picture that is clicked on; the trace's own by default.
        further: Prepare for further clicks: 5 s and 320 MiB at a 64x64 grid; it is not done for larger ones.

    Returns:
        `.mask` at the picture's own size, and `.again(plus=, minus=)` for further clicks.

    Raises:
        ImageError: The picture can't be read.
        ModelError: The pipeline can't take a photo.
        ParameterError: There is no plus click, a click is outside of the picture, or a choice does not fit.
        SelectionError: The trace lacks something that was chosen.

    Cost: docs/clicks.md: one pass, and seconds for the chain; further clicks are cheap.
    Source: Karmann and Urfalioglu, M2N2, CVPR 2025; differs: aspect ratio kept, large pictures decided at a smaller
    size, fewer pixels compared in upsampling.

    >>> import attnscope
    >>> from attnscope.demo.scenes import scene
    >>> pipe = attnscope.load_pipeline("demo")
    >>> clicked = attnscope.click(scene(3).pil_image, [(128, 200)], pipe=pipe)
    >>> clicked.mask.shape, clicked.again(minus=[(10, 10)]).minus
    ((256, 256), ((10.0, 10.0),))
    """
    if not len(plus):
        raise ParameterError(
            "there is no plus click; expected at least one, plus=[(x, y)], on the thing itself"
        )
    for_photo = {"timestep": timestep}
    for_trace = {"steps": steps, "branch": branch, "image": image, "shown": shown}
    choices: dict[str, Any] = {
        "layers": layers,
        "weights": weights,
        "temperature": temperature,
        "step_px": step_px,
        "most_pixels": most_pixels,
        "further": further,
    }
    if isinstance(picture, str | Path) and is_folder(picture):
        picture = as_trace(picture)
    if isinstance(picture, Trace):
        refuse_choices(for_photo, "a trace: its attention was computed already")
        chosen: dict[str, Any] = {name: value for name, value in for_trace.items() if value is not None}
        clicks = clicks_on_trace(picture, (*plus, *minus), **chosen, **choices)
    else:
        refuse_choices(for_trace, "a photo: only a trace has it")
        clicks = clicks_on_photo(picture, pipe, (*plus, *minus), timestep=timestep, **choices)
    return clicks.mask(plus, minus, threshold=threshold)

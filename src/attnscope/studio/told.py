"""What is known of runs and of the model, as the JSON that the studio speaks."""

from __future__ import annotations

from attnscope.studio.engine import Engine
from attnscope.studio.runs import Run
from attnscope.studio.schemas import ModelInfo, RunInfo
from attnscope.studio.studio import PHOTO
from attnscope.studio.worker import PICTURE


def model_info(engine: Engine) -> ModelInfo:
    """What the form has to know of the model.

    Args:
        engine: Its engine.
    """
    known = ModelInfo(name=engine.model.name, state=engine.state, error=engine.error)
    if (facts := engine.facts) is None:
        return known
    height, width = facts.size_hw or (None, None)
    return known.model_copy(
        update={
            "device": facts.device,
            "steps": facts.steps,
            "guidance_scale": facts.guidance_scale,
            "height": height,
            "width": width,
            "takes_negative": facts.takes_negative,
            "no_photos": facts.no_photos,
        }
    )


def run_info(run: Run, engine: Engine) -> RunInfo:
    """How far a run is, and what there is of it.

    Args:
        run: The run.
        engine: Whose queue it may be in.
    """
    place = None if run.is_over else engine.place_of(run.number)
    stored, seen = run.stored, run.seen
    is_started = stored.state == "waiting" and place == 0
    return RunInfo(
        number=run.number,
        kind=stored.kind,
        name=stored.name,
        state="loading" if is_started else stored.state,
        asked=stored.asked,
        text=stored.text,
        place=place,
        done=run.done,
        total=run.total,
        note=run.note,
        error=stored.error,
        seen=None if seen is None else seen.step,
        words=[] if seen is None else list(seen.words),
        seconds=stored.seconds,
        created=stored.created,
        trace=run.trace,
        has_picture=_has_picture(run),
        maker=stored.maker,
    )


def _has_picture(run: Run) -> bool:
    is_seen = run.seen is not None and run.seen.picture is not None
    return is_seen or any((run.folder / name).exists() for name in (PICTURE, PHOTO))

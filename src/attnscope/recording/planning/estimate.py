"""How many bytes a capture will take, for each way to keep less, worked out before the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from attnscope.atlas import calls_a_step, layers
from attnscope.atlas.families import UNET
from attnscope.atlas.source import model_facts
from attnscope.errors import ParameterError
from attnscope.recording.planning.previews import LONGEST_PX
from attnscope.records import KINDS, TEXT_KINDS, Grid, Kind, Layer
from attnscope.records.reduced import Reduced
from attnscope.records.relations import as_kind

HALF = 2  # bytes a number, of a model known by its configuration alone


@dataclass(frozen=True)
class Policy:
    """One way to capture, and the bytes it takes.

    Attributes:
        name: What is kept, in words.
        call: The call that does it.
        step_bytes: Bytes that each captured step adds.
        run_bytes: Bytes of all steps.
    """

    name: str
    call: str
    step_bytes: int
    run_bytes: int


def estimate(
    model: Any,
    *,
    steps: int = 50,
    size: tuple[int, int] | None = None,
    batch: int = 1,
    guidance: bool | None = None,
    tokens: int | None = None,
    frames: int | None = None,
    itemsize: int | None = None,
) -> tuple[Policy, ...]:
    """The memory, or disk, that a capture takes, for each way to keep its attention.

    Args:
        model: As for `attnscope.layers`.
        steps: Steps of the run.
        size: Picture (height, width) in pixels. Default: the model's native size.
        batch: Pictures made at once.
        guidance: Classifier-free guidance, which doubles the rows of the batch or the calls of a step. Default: as the
            model's pipeline does.
        tokens: Text tokens per prompt. Default: the model's own number.
        frames: As for `attnscope.layers`.
        itemsize: Bytes a number of Q and K. Default: a loaded model's own, else 2 (float16). Reduced maps are float32.

    Returns:
        One `Policy` for each way. The last is the probabilities themselves, which attnscope never stores.

    Raises:
        ModelError: The model's attention is not understood.
        ParameterError: The model can't make pictures of this size, or steps, batch or tokens is less than 1.

    Cost: arithmetic only.

    >>> import attnscope
    >>> for policy in attnscope.estimate("sd1", steps=50)[:2]:
    ...     print(f"{policy.call}: {policy.run_bytes / 1e9:.1f} GB")
    capture(pipe): 7.1 GB
    capture(pipe, branch='cond'): 3.6 GB
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ParameterError(f"steps={steps!r}: expected a whole number of 1 or more")
    every_layer = layers(model, size=size, batch=batch, guidance=guidance, tokens=tokens, frames=frames)
    if not every_layer:
        return ()
    each, calls = itemsize or _own_itemsize(model), calls_a_step(model, guidance=guidance)
    whole = calls * sum(layer.bytes_query_key(each) for layer in every_layer)
    value = calls * sum(layer.leading * layer.keys * layer.head_dim * each for layer in every_layer)
    tenth = len(range(0, steps, 10))
    latent = max((layer.grid for layer in every_layer), key=lambda grid: grid.places)
    rows = calls * every_layer[0].branches
    kept = {
        kind: calls * sum(layer.bytes_query_key(each) for layer in _with(kind, every_layer)) for kind in KINDS
    }
    return (
        Policy("Q and K of every layer", "capture(pipe)", whole, steps * whole),
        *([_one_branch(whole // rows, steps)] if rows > 1 else []),
        Policy("with V", "capture(pipe, value=True)", whole + value, steps * (whole + value)),
        *_with_open_words(model, every_layer, each, whole, steps),
        *_with_previews(model, size, every_layer, batch, whole, steps),
        *(
            Policy(_name(kind, every_layer), f"capture(pipe, kind={kind!r})", kept[kind], steps * kept[kind])
            for kind in reversed(KINDS)
            if kept[kind]
        ),
        Policy("every tenth step", "capture(pipe, steps=slice(None, None, 10))", whole, tenth * whole),
        *(
            _reduced(name, reduction, every_layer, latent)
            for name, reduction in _REDUCTIONS.items()
            if kept[reduction.kind]
        ),
        _materialised(every_layer, each, steps, calls),
    )


def _with(kind: Kind, every_layer: Sequence[Layer]) -> list[Layer]:
    """The layers that are kept where a kind is asked for: a joint attention as a whole, for its one softmax."""
    return [layer for layer in every_layer if as_kind(layer, kind) is not None]


def _name(kind: Kind, every_layer: Sequence[Layer]) -> str:
    is_joint = any(layer.kind != kind for layer in _with(kind, every_layer))
    return f"{kind}-attention{' (all of joint layers)' if is_joint else ''}"


def _one_branch(a_step: int, steps: int) -> Policy:
    return Policy("one guidance branch", "capture(pipe, branch='cond')", a_step, steps * a_step)


def _with_open_words(
    model: Any, every_layer: Sequence[Layer], itemsize: int, a_step: int, steps: int
) -> list[Policy]:
    """Key projections come once for the run. No such policy for a model that is closed to other texts."""
    facts = model_facts(model)
    states = facts.config.get("cross_attention_dim", 1280)  # diffusers' own default
    if (
        facts.family.closed_to_words(facts.config, {layer.kind for layer in every_layer})
        or type(states) is not int
    ):
        return []
    inner = sum(layer.heads * layer.head_dim for layer in every_layer if layer.kind in TEXT_KINDS)
    projections = inner * states * itemsize
    name, call = "with any other word (open words)", "capture(pipe, open_words=True)"
    return [Policy(name, call, a_step, steps * a_step + projections)] if inner else []


def _with_previews(
    model: Any,
    size: tuple[int, int] | None,
    every_layer: Sequence[Layer],
    batch: int,
    a_step: int,
    steps: int,
) -> list[Policy]:
    """A pixel for each place, as it is in memory; files are smaller. There are no previews of videos."""
    if every_layer[0].frames > 1:
        return []
    facts = model_facts(model)
    grid = facts.latent(size) if facts.family is UNET else max(layer.grid for layer in every_layer)
    scale = min(1.0, LONGEST_PX / max(grid))
    each = a_step + 3 * batch * round(grid.height * scale) * round(grid.width * scale)
    return [Policy("with a preview of each step", "capture(pipe, previews=True)", each, steps * each)]


_REDUCTIONS = {
    "words of the whole run": Reduced("cross"),
    "scene of the whole run (DiffSeg)": Reduced("self", per="grid"),
}


def _reduced(name: str, reduction: Reduced, every_layer: Sequence[Layer], latent: Grid) -> Policy:
    per = "" if reduction.per == "layer" else f", per={reduction.per!r}"
    call = f"capture(pipe, qk=False, keep={{'maps': Reduced({reduction.kind!r}{per})}})"
    parts = [part for layer in every_layer if (part := as_kind(layer, reduction.kind)) is not None]
    return Policy(name, call, 0, reduction.bytes(parts, latent))


def _materialised(every_layer: Sequence[Layer], itemsize: int, steps: int, calls: int) -> Policy:
    a_step = calls * sum(layer.bytes_probability(itemsize) for layer in every_layer)
    return Policy("the probabilities themselves", "(never stored)", a_step, steps * a_step)


def _own_itemsize(model: Any) -> int:
    loaded = getattr(model, model_facts(model).family.component, model)
    return getattr(getattr(loaded, "dtype", None), "itemsize", HALF)

"""How many bytes a capture will take, for each way to keep less, worked out before the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from attnscope.atlas import layers
from attnscope.errors import ParameterError
from attnscope.records import Grid, Layer
from attnscope.records.reduced import Reduced

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
    guidance: bool = True,
    tokens: int | None = None,
    itemsize: int | None = None,
) -> tuple[Policy, ...]:
    """The memory, or disk, that a capture takes, for each way to keep its attention.

    Args:
        model: As for `attnscope.layers`.
        steps: Steps of the run.
        size: Picture (height, width) in pixels. Default: the model's native size.
        batch: Pictures made at once.
        guidance: Classifier-free guidance, which doubles the rows of the batch.
        tokens: Text tokens per prompt. Default: the model's own number.
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
    every_layer = layers(model, size=size, batch=batch, guidance=guidance, tokens=tokens)
    if not every_layer:
        return ()
    each = itemsize or _own_itemsize(model)
    whole = sum(layer.bytes_query_key(each) for layer in every_layer)
    value = sum(layer.leading * layer.keys * layer.head_dim * each for layer in every_layer)
    cross = sum(layer.bytes_query_key(each) for layer in every_layer if layer.kind == "cross")
    tenth = len(range(0, steps, 10))
    latent = max((layer.grid for layer in every_layer), key=lambda grid: grid.places)
    return (
        Policy("Q and K of every layer", "capture(pipe)", whole, steps * whole),
        *([_one_branch(whole // 2, steps)] if guidance else []),
        Policy("with V", "capture(pipe, value=True)", whole + value, steps * (whole + value)),
        Policy("cross-attention", "capture(pipe, kind='cross')", cross, steps * cross),
        Policy("self-attention", "capture(pipe, kind='self')", whole - cross, steps * (whole - cross)),
        Policy("every tenth step", "capture(pipe, steps=slice(None, None, 10))", whole, tenth * whole),
        *(_reduced(name, reduction, every_layer, latent) for name, reduction in _REDUCTIONS.items()),
        _materialised(every_layer, each, steps),
    )


def _one_branch(a_step: int, steps: int) -> Policy:
    return Policy("one guidance branch", "capture(pipe, branch='cond')", a_step, steps * a_step)


_REDUCTIONS = {
    "words of the whole run": Reduced("cross"),
    "scene of the whole run (DiffSeg)": Reduced("self", per="grid"),
}


def _reduced(name: str, reduction: Reduced, every_layer: Sequence[Layer], latent: Grid) -> Policy:
    per = "" if reduction.per == "layer" else f", per={reduction.per!r}"
    call = f"capture(pipe, qk=False, keep={{'maps': Reduced({reduction.kind!r}{per})}})"
    return Policy(name, call, 0, reduction.bytes(every_layer, latent))


def _materialised(every_layer: Sequence[Layer], itemsize: int, steps: int) -> Policy:
    a_step = sum(layer.bytes_probability(itemsize) for layer in every_layer)
    return Policy("the probabilities themselves", "(never stored)", a_step, steps * a_step)


def _own_itemsize(model: Any) -> int:
    dtype = getattr(getattr(model, "unet", model), "dtype", None)
    return getattr(dtype, "itemsize", HALF)

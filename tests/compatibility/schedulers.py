"""Every scheduler that diffusers says is compatible with Stable Diffusion's, for three steps."""

from __future__ import annotations

from typing import Any

import diffusers

from compatibility.case import Case
from compatibility.options import option
from compatibility.parts import scheduler
from compatibility.zoo_stable_diffusion import sized

GROUP = "Schedulers"
TWICE = {
    "HeunDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "DPMSolverSDEScheduler",
}
"""Those that evaluate the model twice in each step but the last."""
ENTRIES = {"PNDMScheduler": 4}
"""Those whose list of timesteps is longer than the steps that were asked for."""
OPTIONS = {"PNDMScheduler": {"skip_prk_steps": True}}


OTHERS = (
    "LCMScheduler", "TCDScheduler", "SASolverScheduler", "DDIMParallelScheduler", "DDPMParallelScheduler",
    "DDIMInverseScheduler", "DPMSolverMultistepInverseScheduler", "IPNDMScheduler", "EDMDPMSolverMultistepScheduler",
)  # fmt: skip
"""Those that run with a Stable Diffusion, too, without being on that list."""
PLAIN = {"EDMEulerScheduler", "IPNDMScheduler", "EDMDPMSolverMultistepScheduler"}
"""Those that know nothing of beta."""
NOT_HERE = {"DPMSolverSDEScheduler": "needs the package torchsde"}


def names() -> list[str]:
    """Their names, as diffusers lists them, and those of the others."""
    listed = {kind.__name__ for kind in diffusers.DDIMScheduler().compatibles}
    return sorted(listed - set(NOT_HERE)) + list(OTHERS)


def _first_of_two(count: int) -> list[int]:
    return list(range(0, count, 2))


def _made(name: str) -> Any:
    kind = getattr(diffusers, name)
    return kind() if name in PLAIN else scheduler(kind, **OPTIONS.get(name, {}))


def _case(name: str) -> Case:
    truth = {"steps": ENTRIES.get(name, 3), "mains": _first_of_two if name in TWICE else None}
    parts = lambda: {"scheduler": _made(name)}  # noqa: E731
    return option(name, sized(num_inference_steps=3), parts=parts, group=GROUP, **truth)


CASES = [_case(name) for name in names()]

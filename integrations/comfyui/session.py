"""One run of a sampler with a recorded model: who is in its batches, and which of its calls are kept."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from torch import Tensor

from attnscope.errors import CaptureError
from attnscope.records import Row

from .choices import Choice
from .conditioning import Texts, single_conds
from .seen import SeenCall
from .sites import Site, SiteKey
from .stepping import Prediction, Stepping
from .traces import Facts, TraceWriter


class Session:
    """One run.

    Args:
        choice: Which steps and branches are kept.
        texts: The texts that the user named.
        guider: ComfyUI's guider, which has the conditionings.
        noise: (image, channel, height, width).
        sampler: ComfyUI's sampler.
        sigmas: Of all steps, and the last one's end.
        seed: The seed.
        budget: Bytes of memory for Q and K.

    Raises:
        CaptureError: The run is of a kind that can't be recorded.

    Attributes:
        stepping: Which step predictions belong to.
        writer: Where its calls go.
        prediction: The prediction that is being made; None between predictions.
        call: The call that is running, if it is kept.
    """

    def __init__(
        self,
        choice: Choice,
        texts: Texts,
        guider: Any,
        noise: Tensor,
        sampler: Any,
        sigmas: Tensor,
        seed: int | None,
        budget: int,
    ) -> None:
        if getattr(noise, "ndim", 0) != 4:
            raise CaptureError(
                f"the latent has the shape {tuple(noise.shape)}; expected pictures, not a video"
            )
        self._choice, self._shape = choice, tuple(noise.shape)
        self._branches = single_conds(guider.conds)
        known = texts.checked(guider.conds)
        keeps_negative = "uncond" in self._branches.values() and choice.keeps_branch("uncond")
        self.writer = TraceWriter(
            Facts(
                known.positive, known.negative, keeps_negative, self._shape[0], (self._shape[2], self._shape[3]),
                len(sigmas) - 1, _sampler_name(sampler), seed, getattr(guider, "cfg", None), _versions(),
            ),
            budget,
        )  # fmt: skip
        self.stepping = Stepping([float(sigma) for sigma in sigmas], self._commit)
        self.prediction: Prediction | None = None
        self.call: SeenCall | None = None

    def begin_call(
        self, x: Tensor, timesteps: Tensor | None, options: dict[str, Any], sites: dict[SiteKey, Site]
    ) -> SeenCall | None:
        """The U-Net is called.

        Args:
            x: Its input.
            timesteps: One a row.
            options: transformer_options.
            sites: The attentions that are kept.

        Returns:
            What will be seen of it; None if none of it is kept.
        """
        if self.prediction is None:
            raise CaptureError(
                "the U-Net ran outside of a prediction: another node calls it; take that node out"
            )
        rows = self._rows(x, options)
        kept = [at for at, row in enumerate(rows) if self._choice.keeps_branch(row.branch)]
        if not kept or not any(map(self._choice.keeps_step, self.stepping.candidates)):
            return None
        timestep = float("nan") if timesteps is None else float(timesteps[0])
        self.call = SeenCall(tuple(rows[at] for at in kept), tuple(kept), timestep, sites)
        return self.call

    def _rows(self, x: Tensor, options: dict[str, Any]) -> list[Row]:
        """Who is in the batch: ComfyUI lists its conditionings, and each has all images."""
        numbers, (images, _, *size) = options.get("uuids") or [], self._shape
        if len(numbers) * images != x.shape[0] or list(x.shape[2:]) != size:
            raise CaptureError(
                f"the U-Net got {x.shape[0]} rows of {tuple(x.shape[2:])} for {len(numbers)} conditionings; expected "
                f"{images} of {tuple(size)} for each: areas, tiles and context windows can't be recorded, take them out"
            )
        if unknown := [number for number in numbers if number not in self._branches]:
            raise CaptureError(
                f"the U-Net got a conditioning ({unknown[0]}) that is none of {sorted(self._branches.values())}: "
                "another node adds it; take that node out"
            )
        return [Row(self._branches[number], image) for number in numbers for image in range(images)]

    def end_call(self, call: SeenCall | None) -> None:
        """The U-Net is done.

        Args:
            call: What was seen of it, None if none of it is kept.

        Raises:
            CaptureError: An attention is missing, or a branch came twice in one prediction.
        """
        if call is None or self.prediction is None:
            return
        call.check_complete()
        known = {row for earlier in self.prediction.calls for row in earlier.rows}
        if twice := next((row.branch for row in call.rows if row in known), None):
            raise CaptureError(
                f"the branch {twice} ran twice in one prediction: another node looks a second time, as perturbed and "
                "self-attention guidance do; take that node out"
            )
        self.prediction.calls.append(call)

    def _commit(self, step: int, prediction: Prediction) -> None:
        if self._choice.keeps_step(step):
            for call in prediction.calls:
                self.writer.add(step, call, extra=prediction.repeats)


def _sampler_name(sampler: Any) -> str | None:
    name = getattr(getattr(sampler, "sampler_function", None), "__name__", None)
    return None if name is None else name.removeprefix("sample_")


def _versions() -> dict[str, str]:
    try:
        return {"comfyui": str(import_module("comfyui_version").__version__)}
    except ImportError:
        return {}

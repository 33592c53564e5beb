"""What ComfyUI calls while it samples with a recorded model. It observes: every call goes on as it came."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from attnscope.errors import CaptureError
from attnscope.trace.trace import Trace

from .checks import OVERRIDE, PATCHES, check_is_free, check_options
from .choices import Choice
from .conditioning import Texts
from .images import kept_on_cpu
from .session import Session
from .sites import Site, SiteKey
from .stepping import Prediction

NAME = "attnscope"


class Recorder:
    """Records the newest run of a model, and forgets the one before.

    Args:
        sites: The attentions of the model that are kept.
        choice: Which steps and branches are kept.
        texts: The texts that the user named.
        budget: Bytes of memory for Q and K.
    """

    def __init__(self, sites: dict[SiteKey, Site], choice: Choice, texts: Texts, budget: int) -> None:
        self._sites, self._choice, self._texts, self._budget = sites, choice, texts, budget
        self.trace: Trace | None = None
        """Of the newest run, once it is over."""
        self.failed: str | None = None
        """Why there is none."""
        self.latent: Tensor | None = None
        """What the sampler made in that run."""
        self._session: Session | None = None
        self._own = {OVERRIDE: self._override(), **{PATCHES[kind]: self._marker(kind) for kind in PATCHES}}

    def attach(self, model: Any) -> None:
        """Make a model's runs come here.

        Args:
            model: A clone, which nobody else uses.

        Raises:
            CaptureError: Another node overrides its attention.
        """
        options = model.model_options.setdefault("transformer_options", {})
        check_is_free(options)
        options[OVERRIDE] = self._own[OVERRIDE]
        model.set_model_attn1_patch(self._own[PATCHES["self"]])
        model.set_model_attn2_patch(self._own[PATCHES["cross"]])
        for of_type, wrapper in (
            ("outer_sample", self.sample),
            ("predict_noise", self.predict),
            ("diffusion_model", self.run_model),
        ):
            model.add_wrapper_with_key(of_type, NAME, wrapper)

    def sample(
        self,
        executor: Any,
        noise: Tensor,
        latent_image: Tensor,
        sampler: Any,
        sigmas: Tensor,
        denoise_mask: Tensor | None = None,
        callback: Any = None,
        disable_pbar: bool = False,
        seed: int | None = None,
    ) -> Any:
        """Wraps a whole run.

        Args:
            executor: Goes on.
            noise: (image, channel, height, width).
            latent_image: As ComfyUI gives it.
            sampler: The sampler.
            sigmas: Of all steps, and the last one's end.
            denoise_mask: As ComfyUI gives it.
            callback: Told of each step.
            disable_pbar: As ComfyUI gives it.
            seed: The seed.
        """
        session = self.trace = self.latent = None
        if self._session is not None:
            raise CaptureError(
                "this model samples within a run of its own: give each a Capture attention node"
            )
        try:
            guider = executor.class_obj
            session = Session(self._choice, self._texts, guider, noise, sampler, sigmas, seed, self._budget)
            self._session = session
            watched = session.stepping.watching(callback)
            result = executor(noise, latent_image, sampler, sigmas, denoise_mask, watched, disable_pbar, seed)
            session.stepping.finish()
            self.trace, self.failed = session.writer.finish(), None
            self.latent = kept_on_cpu(result)
        except BaseException as error:
            self.failed = str(error) or "the run of KSampler ended before its end: run it again"
            if session is not None:
                session.writer.drop()
            raise
        finally:
            self._session = None
        return result

    def predict(self, executor: Any, x: Tensor, timestep: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Wraps one prediction of the noise: one or several calls of the model.

        Args:
            executor: Goes on.
            x: The latent.
            timestep: Its sigma.
            args: As ComfyUI gives them.
            kwargs: As ComfyUI gives them.
        """
        session = self._open_session()
        session.prediction = prediction = Prediction(float(timestep.reshape(-1)[0]))
        try:
            result = executor(x, timestep, *args, **kwargs)
        finally:
            session.prediction = None
        session.stepping.predicted(prediction)
        return result

    def _open_session(self) -> Session:
        if self._session is None:
            raise CaptureError(
                "the model predicts outside of a run: another node calls it in an unusual way, and nothing can be "
                "recorded; expected KSampler or SamplerCustom"
            )
        return self._session

    def run_model(
        self,
        executor: Any,
        x: Tensor,
        timesteps: Tensor | None = None,
        context: Tensor | None = None,
        y: Tensor | None = None,
        control: Any = None,
        transformer_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Wraps one call of the U-Net.

        Args:
            executor: Goes on.
            x: (row, channel, height, width).
            timesteps: One a row.
            context: The encoded texts.
            y: As ComfyUI gives it.
            control: As ComfyUI gives it.
            transformer_options: Who is in the batch, and what other nodes set.
            kwargs: As ComfyUI gives them.
        """
        session = self._open_session()
        options = transformer_options or {}
        check_options(options, self._own, {key.kind for key in self._sites})
        call = session.begin_call(x, timesteps, options, self._sites)
        try:
            result = executor(x, timesteps, context, y, control, transformer_options, **kwargs)
        finally:
            session.call = None
        session.end_call(call)
        return result

    def _override(self) -> Callable[..., Any]:
        """What stands in for ComfyUI's attention. A function, not a method: clones of a model copy its options deeply,
        and functions stay themselves."""

        def attention(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            if self._session is not None and self._session.call is not None:
                self._session.call.see(args, kwargs)
            return function(*args, **kwargs)

        return attention

    def _marker(self, kind: str) -> Callable[..., Any]:
        """A patch that changes nothing: it says which attention comes next."""

        def announce(n: Any, context: Any, value: Any, extra_options: dict[str, Any]) -> tuple[Any, Any, Any]:
            if self._session is not None and self._session.call is not None:
                where, number = extra_options.get("block", ("unknown", 0))[:2]
                key = SiteKey(where, number, extra_options.get("block_index", 0), kind)
                self._session.call.announce(key, extra_options.get("activations_shape"))
            return n, context, value

        return announce

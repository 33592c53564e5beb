"""The node Capture attention."""

from __future__ import annotations

from typing import Any

from attnscope.errors import ParameterError

from .checks import check_version
from .choices import BRANCHES, KINDS, Choice, numbers
from .conditioning import Text, Texts, read_text
from .handle import TraceHandle
from .recorder import Recorder
from .sites import sites_of

CATEGORY = "attnscope"
TRACE = "ATTNSCOPE_TRACE"
READS = {
    "trace": (TRACE,),
    "latent": (
        "LATENT",
        {"tooltip": "What the recorded KSampler made: it tells the run, and this node waits for it."},
    ),
    "image": ("IMAGE", {"tooltip": "The picture that VAE Decode makes of it."}),
}
"""What every node that reads a trace takes."""


class CaptureAttention:
    """A MODEL whose KSampler run is recorded, and the TRACE that the run fills. The picture stays the same."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Records the attention of the KSampler run that uses this model. The picture stays the same."
    )
    RETURN_TYPES = ("MODEL", TRACE)
    RETURN_NAMES = ("model", "trace")
    FUNCTION = "capture"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """Sockets and widgets."""
        return {
            "required": {
                "model": ("MODEL",),
                "kinds": (list(KINDS), {"tooltip": "Words need cross, places and segments need self."}),
                "branches": (list(BRANCHES), {"tooltip": "cond: the prompt. both: the negative prompt, too."}),
                "blocks": ("STRING", {"default": "", "tooltip": "Such as 1, 4-9. Empty: all."}),
                "steps": ("STRING", {"default": "", "tooltip": "From 0, such as 0-9. Empty: all."}),
                "max_gb": ("FLOAT", {"default": 4.0, "min": 0.1, "max": 1024.0, "step": 0.1,
                                     "tooltip": "Memory for it. What is beyond goes to a temporary folder."}),
            },
            "optional": {
                "clip": ("CLIP", {"tooltip": "Names the words. The one that encodes the prompt."}),
                "text": ("STRING", {"multiline": True, "default": "", "tooltip": "The prompt, as it is encoded."}),
                "negative_text": ("STRING", {"multiline": True, "default": "", "tooltip": "The same, negative."}),
            },
        }  # fmt: skip

    def capture(
        self,
        model: Any,
        kinds: str = "both",
        branches: str = "cond",
        blocks: str = "",
        steps: str = "",
        max_gb: float = 4.0,
        clip: Any = None,
        text: str = "",
        negative_text: str = "",
    ) -> tuple[Any, TraceHandle]:
        """A clone of a model with a recorder, and its trace.

        Args:
            model: ComfyUI's MODEL.
            kinds: 'self', 'cross' or 'both'.
            branches: 'cond' or 'both'.
            blocks: Block numbers from 1, such as '1, 4-9'; all if empty.
            steps: Step numbers from 0; all if empty.
            max_gb: Memory for Q and K.
            clip: ComfyUI's CLIP, to name words; None leaves them unnamed.
            text: The prompt as it was typed.
            negative_text: The negative prompt as it was typed.

        Raises:
            CaptureError: The model, or what another node did to it, can't be recorded.
            ParameterError: A choice is none of the model's.
            WordError: The places of a text's words are unknown.
        """
        check_version()
        if not max_gb > 0:
            raise ParameterError(f"max_gb is {max_gb}; expected more than 0")
        choice = Choice(kinds, numbers(blocks, "blocks"), numbers(steps, "steps"), branches)
        clone = model.clone()
        sites = choice.sites(sites_of(clone.get_model_object("diffusion_model")))
        recorder = Recorder(sites, choice, _texts(clip, text, negative_text), int(max_gb * 1e9))
        recorder.attach(clone)
        return clone, TraceHandle(recorder)


def _texts(clip: Any, text: str, negative_text: str) -> Texts:
    """The texts that CLIP names. Without a CLIP a text would be dropped in silence: refuse it."""
    if clip is not None:
        positive: Text = read_text(clip, text)
        return Texts(positive, positive if negative_text == text else read_text(clip, negative_text))
    if given := text.strip() or negative_text.strip():
        raise ParameterError(
            f"text is {given!r}, and no CLIP names its words: connect clip, or leave text empty"
        )
    return Texts()

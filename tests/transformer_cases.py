"""Transformers to be tried: a tiny random pipeline of each family, and what is true of it, read in diffusers' sources.

To add a family, add a case. Numbers here are by hand: nothing of attnscope tells them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import diffusers
import pytest
import torch
import torch.nn.functional as F
import transformers
from packaging.version import Version

from attnscope.testing import transformers as tiny
from attnscope.testing.transformers.parts import T5_KEYS

if Version(transformers.__version__) < Version("5") or Version(diffusers.__version__) < Version("0.42"):
    pytest.skip(
        "transformers are tried with transformers 5 and diffusers 0.42: older ones lack most of them, or make their "
        "tiny tokenizers in other ways",
        allow_module_level=True,
    )

PROMPT, OTHER, NEGATIVE = "a red cat and the star", "the grass and a star", "the grass"
HEIGHT, WIDTH = 96, 128
BOTH, ONE = (("uncond", "cond"),), (("cond",),)
OWN = ("image",)


@dataclass(frozen=True)
class Case:
    """A family's pipeline, and what is true of it.

    Attributes:
        name: Of the pipeline.
        family: What the run says of the model.
        make: Makes it, in a folder for its tokenizer's files. Two calls make the same.
        sides: By the end of a module's path: the parts of its queries and of its keys, in the order of the sequence.
        tokens: How many tokens each part of the text has.
        cat: Numbers of the tokens of 'cat' among those of the whole text.
        branches: Guidance branches of each call of a step.
        options: Of the pipeline's call.
        place: Pixels along the side of a place.
        frames: Frames of the latent.
        video_frames: Frames of the video, 0 for a picture.
        layers: How many attentions it has.
        guided: Options that switch guidance on, for pipelines that need more than a negative prompt.
        guided_branches: Guidance branches of each call of a step then.
        output: What the call gives.
        copies: The option that says how many pictures each prompt has; None where it has one.
        there: Tokens that the text really has in each call of a step, where that is less than `tokens` says.
        negative: A negative prompt, '' where it takes none and reads nothing.
        several: Whether diffusers' own pipeline can make several pictures of several prompts in one call.
    """

    name: str
    family: str
    make: Callable[[Path], Any]
    sides: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]
    tokens: Mapping[str, int]
    cat: tuple[int, ...]
    layers: int
    branches: tuple[tuple[str, ...], ...] = BOTH
    options: Mapping[str, Any] = field(default_factory=dict)
    place: int = 16
    frames: int = 1
    video_frames: int = 0
    guided: Mapping[str, Any] = field(default_factory=dict)
    guided_branches: tuple[tuple[str, ...], ...] = BOTH
    output: Callable[[Any], Any] = lambda made: made.images
    copies: str | None = "num_images_per_prompt"
    there: tuple[int, ...] = ()
    negative: str = NEGATIVE
    several: bool = True

    def __str__(self) -> str:
        return self.name

    def run(self, pipe: Any, prompt: Any = PROMPT, **changes: Any) -> Any:
        """Call the pipeline for two steps.

        Args:
            pipe: The pipeline.
            prompt: One or several.
            **changes: Options to change.
        """
        options = {
            "height": HEIGHT, "width": WIDTH, "num_inference_steps": 2, "output_type": "np",
            "generator": torch.Generator().manual_seed(0), **self.options, **changes,
        }  # fmt: skip
        if self.video_frames:
            options["num_frames"] = self.video_frames
        return self.output(pipe(prompt=prompt, **options))

    def sides_of(self, path: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The parts of a module's queries and keys.

        Args:
            path: Its path.
        """
        return next(sides for end, sides in self.sides.items() if path.endswith(end))

    def lengths(self, parts: tuple[str, ...], height: int = HEIGHT, width: int = WIDTH) -> dict[str, int]:
        """How many tokens each of some parts has.

        Args:
            parts: Their names.
            height: Of the picture.
            width: Of the picture.
        """
        known = {"image": self.frames * (height // self.place) * (width // self.place), **self.tokens}
        return {part: known[part] for part in parts}


def text_tokens(case: Case) -> int:
    """How many tokens all parts of the text have together.

    Args:
        case: The case.
    """
    return sum(count for name, count in case.tokens.items() if name.startswith("text"))


@contextmanager
def seen_attention(model: Any):
    """The float64 P of every scaled_dot_product_attention of a model, by the path of the module that computes it.

    Knows nothing of attnscope: the function is replaced, and hooks tell which module runs.
    """
    seen: dict[str, list[torch.Tensor]] = {}
    running: list[str] = []
    handles = []
    for path, module in model.named_modules():
        if hasattr(module, "processor") and hasattr(module, "heads"):
            handles.append(module.register_forward_pre_hook(lambda *_, path=path: running.append(path)))
            handles.append(module.register_forward_hook(lambda *_: running.pop() and None))
    original = F.scaled_dot_product_attention

    def recorded(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, **others):
        if running:
            scores = query.double() @ key.double().mT * (scale or query.shape[-1] ** -0.5)
            if attn_mask is not None:
                is_bool = attn_mask.dtype == torch.bool
                scores = (
                    scores.masked_fill(~attn_mask, -torch.inf) if is_bool else scores + attn_mask.double()
                )
            seen.setdefault(running[-1], []).append(scores.softmax(-1))
        return original(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, **others)

    F.scaled_dot_product_attention = recorded
    try:
        yield seen
    finally:
        F.scaled_dot_product_attention = original
        for handle in handles:
            handle.remove()


def in_equal_places(
    computed: torch.Tensor, query_lengths: Mapping[str, int], key_lengths: Mapping[str, int], there: int
) -> torch.Tensor:
    """P with zeros where a text that is shorter than others has no tokens.

    Args:
        computed: P as the model computed it.
        query_lengths: Tokens of each part of the queries, for the longest text.
        key_lengths: The same of the keys.
        there: How many tokens the text has.
    """
    query_at, key_at = (_places(lengths, there) for lengths in (query_lengths, key_lengths))
    whole = computed.new_zeros(*computed.shape[:2], sum(query_lengths.values()), sum(key_lengths.values()))
    whole[:, :, query_at.unsqueeze(1), key_at] = computed
    return whole


def _places(lengths: Mapping[str, int], there: int) -> torch.Tensor:
    places = [(name, number) for name, length in lengths.items() for number in range(length)]
    return torch.tensor([at for at, (name, n) in enumerate(places) if name != "text" or n < there])


def without_ftfy(pipeline: str) -> None:
    """Some pipelines clean prompts with ftfy and fail without it: here nothing has to be cleaned.

    Args:
        pipeline: The module of the pipeline in `diffusers.pipelines`.
    """
    module: Any = import_module(f"diffusers.pipelines.{pipeline}")
    module.ftfy = SimpleNamespace(fix_text=str)


def _tiny_skyreels2(folder: Path) -> Any:
    without_ftfy("skyreels_v2.pipeline_skyreels_v2")
    return tiny.tiny_skyreels2(folder)


_TEXT_FIRST, _IMAGE_FIRST = ("text", "image"), ("image", "text/clip", "text/t5")
_REGISTERS_FIRST = ("registers", "text", "image")
_TWO, _COND_FIRST = (("cond",), ("uncond",)), (("cond", "uncond"),)
_FILLED = ("image", "padding")
_SHORT = {"max_sequence_length": T5_KEYS}
_FLUX2 = {"max_sequence_length": 64, "text_encoder_out_layers": (0, 1)}
_VIDEO_FIRST = ("image", "text")
_VIDEO: dict[str, Any] = {
    "frames": 3, "video_frames": 9, "output": lambda made: made.frames, "copies": "num_videos_per_prompt",
}  # fmt: skip

CASES = (
    Case(
        "StableDiffusion3Pipeline", "sd3", tiny.tiny_sd3, {".attn": (_IMAGE_FIRST, _IMAGE_FIRST), ".attn2": (OWN, OWN)},
        {"text/clip": 77, "text/t5": 12}, cat=(3, 79), layers=4, options=_SHORT,
    ),
    Case(
        "FluxPipeline", "flux", tiny.tiny_flux, {".attn": (_TEXT_FIRST, _TEXT_FIRST)}, {"text": 12}, cat=(2,), layers=4,
        branches=ONE, options=_SHORT, guided={"true_cfg_scale": 4.0}, guided_branches=(("cond",), ("uncond",)),
    ),
    Case(
        "PixArtAlphaPipeline", "pixart", tiny.tiny_pixart, {".attn1": (OWN, OWN), ".attn2": (OWN, ("text",))},
        {"text": 12}, cat=(2,), layers=4,
        options={**_SHORT, "use_resolution_binning": False, "clean_caption": False},
    ),
    Case(
        "CogVideoXPipeline", "cogvideox", tiny.tiny_cogvideox, {".attn1": (_TEXT_FIRST, _TEXT_FIRST)}, {"text": 12},
        cat=(2,), layers=2, options=_SHORT, **{**_VIDEO, "copies": None},
    ),
    Case(
        "PixArtSigmaPipeline", "pixart", tiny.tiny_pixart_sigma, {".attn1": (OWN, OWN), ".attn2": (OWN, ("text",))},
        {"text": 12}, cat=(2,), layers=4,
        options={**_SHORT, "use_resolution_binning": False, "clean_caption": False},
    ),
    Case(
        "HunyuanDiTPipeline", "hunyuandit", tiny.tiny_hunyuandit,
        {".attn1": (OWN, OWN), ".attn2": (OWN, ("text/clip", "text/t5"))}, {"text/clip": 77, "text/t5": 256},
        cat=(3, 79), layers=8, options={"use_resolution_binning": False},
    ),
    Case(
        "AuraFlowPipeline", "auraflow", tiny.tiny_auraflow, {".attn": (_REGISTERS_FIRST, _REGISTERS_FIRST)},
        {"registers": 8, "text": 12}, cat=(2,), layers=4, options=_SHORT,
    ),
    Case(
        "CogView3PlusPipeline", "cogview3", tiny.tiny_cogview3, {".attn1": (_TEXT_FIRST, _TEXT_FIRST)}, {"text": 12},
        cat=(2,), layers=2, options=_SHORT,
    ),
    Case(  # [gMASK] <sop> and six words, in front of which is padding up to sixteen
        "CogView4Pipeline", "cogview4", tiny.tiny_cogview4, {".attn1": (_TEXT_FIRST, _TEXT_FIRST)}, {"text": 16},
        cat=(12,), layers=2, branches=_TWO, guided_branches=_TWO,
    ),
    Case(  # <bos> and six words, in front of which is padding up to eight
        "LuminaPipeline", "lumina", tiny.tiny_lumina, {".attn1": (OWN, OWN), ".attn2": (OWN, ("text",))}, {"text": 8},
        cat=(4,), layers=4, branches=_COND_FIRST, guided_branches=_COND_FIRST, options={"clean_caption": False},
    ),
    Case(  # <bos>, five words of the instruction, fifteen tokens of ' <Prompt Start>', and six words; no prompt: <bos>
        "Lumina2Pipeline", "lumina2", tiny.tiny_lumina2,
        {"refiner.0.attn": (OWN, OWN), ".attn": (_TEXT_FIRST, _TEXT_FIRST)}, {"text": 27}, there=(27, 1), cat=(23,),
        layers=3, branches=_TWO, guided_branches=_TWO,
        options={"system_prompt": "a star on the grass", "max_sequence_length": 64},
    ),
    Case(  # <bos> is kept, and what comes after the instruction
        "SanaPipeline", "sana", tiny.tiny_sana, {".attn2": (OWN, ("text",))}, {"text": 16}, cat=(3,), layers=2, place=8,
        options={
            "complex_human_instruction": ["the red star", "User Prompt: "], "max_sequence_length": 16,
            "use_resolution_binning": False,
        },
    ),
    Case(
        "ChromaPipeline", "chroma", tiny.tiny_chroma, {".attn": (_TEXT_FIRST, _TEXT_FIRST)}, {"text": 12}, cat=(2,),
        layers=4, branches=_TWO, guided_branches=_TWO, options=_SHORT,
    ),
    Case(  # '<|im_start|>', 'system' (5), '\n', 'the', ' star', '<|im_end|>', '\n', '<|im_start|>', 'user' (4), '\n'
        "Flux2Pipeline", "flux2", tiny.tiny_flux2, {".attn": (_TEXT_FIRST, _TEXT_FIRST)}, {"text": 64}, cat=(19,),
        layers=4, branches=ONE, guided_branches=ONE, negative="", options=_FLUX2,
    ),
    Case(  # '<|im_start|>', 'user' (4), '\n'
        "Flux2KleinPipeline", "flux2", tiny.tiny_flux2_klein, {".attn": (_TEXT_FIRST, _TEXT_FIRST)}, {"text": 64},
        cat=(8,), layers=4, branches=_TWO, guided_branches=_TWO, negative="", options=_FLUX2,
    ),
    Case(  # six words, '<|im_end|>', '\n', '<|im_start|>', 'assistant' (7), '\n'; what stands before is cut off
        "QwenImagePipeline", "qwenimage", tiny.tiny_qwenimage, {".attn": (_TEXT_FIRST, _TEXT_FIRST)}, {"text": 17},
        cat=(2,), layers=2, branches=ONE, guided_branches=_TWO,
    ),
    Case(  # '<|im_start|>', 'user' (4), '\n', the 17 of Qwen-Image, and 9 to fill up; 16 to fill up the image
        "ZImagePipeline", "zimage", tiny.tiny_zimage,
        {"refiner.0.attention": (_FILLED, _FILLED), ".attention": ((*_FILLED, "text"), (*_FILLED, "text"))},
        {"padding": 16, "text": 32}, cat=(8,), layers=3, branches=_COND_FIRST, guided_branches=_COND_FIRST,
    ),
    Case(
        "BriaPipeline", "bria", tiny.tiny_bria, {".attn": (_TEXT_FIRST, _TEXT_FIRST)}, {"text": 12}, cat=(2,), layers=2,
        options=_SHORT,
    ),
    Case(  # what stands before ' a' is cut off
        "OvisImagePipeline", "ovis", tiny.tiny_ovis, {".attn": (_TEXT_FIRST, _TEXT_FIRST)}, {"text": 48}, cat=(2,),
        layers=2, branches=_TWO, guided_branches=_TWO, options={"max_sequence_length": 48},
    ),
    Case(  # what stands around the prompt is cut off
        "LongCatImagePipeline", "longcat", tiny.tiny_longcat, {".attn": (_TEXT_FIRST, _TEXT_FIRST)}, {"text": 32},
        cat=(2,), layers=2, branches=_TWO, guided_branches=_TWO, options={"enable_prompt_rewrite": False},
        several=False,
    ),
    Case(
        "PRXPipeline", "prx", tiny.tiny_prx, {".attention": (OWN, _TEXT_FIRST)}, {"text": 12}, cat=(2,), layers=2,
        several=False,
        options={"use_resolution_binning": False},
    ),
    Case(
        "LTXPipeline", "ltx", tiny.tiny_ltx, {".attn1": (OWN, OWN), ".attn2": (OWN, ("text",))}, {"text": 12}, cat=(2,),
        layers=4, options=_SHORT, **_VIDEO,
    ),
    Case(
        "WanPipeline", "wan", tiny.tiny_wan, {".attn1": (OWN, OWN), ".attn2": (OWN, ("text",))}, {"text": 12}, cat=(2,),
        layers=4, branches=_TWO, guided_branches=_TWO, options=_SHORT, **_VIDEO,
    ),
    Case(
        "SkyReelsV2Pipeline", "skyreels2", _tiny_skyreels2, {".attn1": (OWN, OWN), ".attn2": (OWN, ("text",))},
        {"text": 12}, cat=(2,), layers=4, branches=_TWO, guided_branches=_TWO, options=_SHORT, **_VIDEO,
    ),
    Case(  # <bos> is cut off; the cat stands after 't', 'h', 'e', ' star', ':', ' a' and ' red'
        "HunyuanVideoPipeline", "hunyuanvideo", tiny.tiny_hunyuanvideo, {".attn": (_VIDEO_FIRST, _VIDEO_FIRST)},
        {"text": 24}, cat=(7,), layers=4, branches=ONE, guided={"true_cfg_scale": 4.0}, guided_branches=_TWO,
        options={
            "prompt_template": {"template": "the star: {} on the grass", "crop_start": 1}, "max_sequence_length": 24,
        },
        **_VIDEO,
    ),
    Case(  # '</s>' alone, and six words with it
        "MochiPipeline", "mochi", tiny.tiny_mochi, {".attn1": (_VIDEO_FIRST, _VIDEO_FIRST)}, {"text": 12}, there=(1, 7),
        cat=(2,), layers=2, options=_SHORT, **{**_VIDEO, "video_frames": 13},
    ),
    Case(
        "AllegroPipeline", "allegro", tiny.tiny_allegro, {".attn1": (OWN, OWN), ".attn2": (OWN, ("text",))},
        {"text": 12}, cat=(2,), layers=4, options={**_SHORT, "clean_caption": False},
        **{**_VIDEO, "video_frames": 12, "copies": None},
    ),
    Case(
        "CosmosTextToWorldPipeline", "cosmos", tiny.tiny_cosmos, {".attn1": (OWN, OWN), ".attn2": (OWN, ("text",))},
        {"text": 12}, cat=(2,), layers=4, branches=_TWO, guided_branches=_TWO, options=_SHORT,
        **{**_VIDEO, "video_frames": 17},
    ),
)  # fmt: skip

"""Prompt-to-prompt: a picture of a prompt, and the same picture of another one (Hertz et al. 2022)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.atlas.families import UNET
from attnscope.editing.alignment import Alignment, refined, replaced, unchanged
from attnscope.editing.blending import Blend
from attnscope.editing.choices import Words
from attnscope.editing.context import edit as edited
from attnscope.editing.edits import Edit, Reweight
from attnscope.editing.inverted import branches_of, call_of, check_inverted, ddim_steps, next_text
from attnscope.editing.sources import Freeze, Replace
from attnscope.errors import ModelError, ParameterError, nearest
from attnscope.photos.inversion import Inversion
from attnscope.recording.capture import capture
from attnscope.recording.planning.modules import model_of
from attnscope.trace.tokens import tokenize
from attnscope.trace.words import find_span

How = Literal["replace", "refine", "reweight"]
Share = float | tuple[float, float]
"""Of a run's steps: up to a share of them, or from one to another, 0..1."""
MAX_FROZEN = 16 * 16
"""Places of the largest layers whose self-attention is taken from the source."""
DEFAULT = "default"


@dataclass(frozen=True)
class EditedPictures:
    """What `prompt_to_prompt` made.

    Attributes:
        images: The picture of the source, then that of each target; or their latents as one tensor.
        steps: The latents after each step, where they were asked for.
    """

    images: Any
    steps: list[Float[Tensor, "image channel h w"]] = field(default_factory=list, repr=False)


def prompt_to_prompt(
    pipe: Any,
    prompts: Sequence[str],
    edit: How = "replace",
    *,
    cross_steps: Share | Mapping[str, Share] = 0.8,
    self_steps: Share = 0.4,
    weights: Mapping[str, float] | None = None,
    blend_words: Sequence[Words] | None = None,
    blend_threshold: float = 0.3,
    latents: Tensor | None = None,
    generator: torch.Generator | int | None = None,
    inversion: Inversion | None = None,
    keep_steps: bool = False,
    **call: Any,
) -> EditedPictures:
    """Two pictures of one noise, where the second keeps the layout of the first: attention is taken over from it.

    Args:
        pipe: A pipeline with a U-Net that reads one text: Stable Diffusion v1, v2, XL.
        prompts: The source, then one target or several.
        edit: 'replace' for prompts with as many words, 'refine' where the target has words more or less, 'reweight'
            for one prompt whose words get other weights.
        cross_steps: During which steps a target's cross-attention comes from the source: a share of all steps from
            the first one, (from, to), or such numbers for words of the target, {"default": 0.8, "lion": (0, 0.4)}.
        self_steps: The same for self-attention, in layers of at most 16x16 places.
        weights: Factors for words of the target, negative ones, too. They count as long as their cross-attention is
            edited.
        blend_words: For each prompt the words that may change the picture; elsewhere it stays as the source's.
        blend_threshold: Share of a word's largest attention from which on a place is changed.
        latents: One noise for all prompts, (1, channel, h, w).
        generator: Of the noise, if it is not given; or its seed.
        inversion: Of a photo, from `attnscope.invert_photo`: the source is then the photo, made again by DDIM's steps.
            It settles the noise, the steps and the size; with null text also the guidance, otherwise 1 by default.
        keep_steps: Keep the latents after each step.
        **call: For the pipeline: num_inference_steps, guidance_scale, height, width, output_type ...

    Raises:
        ParameterError: There are fewer than two prompts, or they do not fit to each other or to the other arguments.
        WordError: A target lacks a word that has a weight or steps of its own.
        ModelError: The model is no U-Net that reads a text.

    Cost: the pipeline's own with a batch of all prompts; of each layer whose attention is edited P, in tiles.
    Source: Hertz et al. 2022, "Prompt-to-Prompt Image Editing with Cross-Attention Control", and the authors' program.

    >>> import attnscope
    >>> pipe = attnscope.load_pipeline("demo")
    >>> pipe.set_progress_bar_config(disable=True)
    >>> prompts = ["a red house", "a blue house"]
    >>> result = prompt_to_prompt(pipe, prompts, num_inference_steps=2, generator=0)
    >>> len(result.images)
    2
    """
    prompts = _checked(pipe, prompts, edit, blend_words)
    if call.get("num_images_per_prompt", 1) != 1:
        raise ParameterError(
            "num_images_per_prompt: each prompt gives one picture here; call again with other noise"
        )
    if inversion is not None:
        check_inverted(inversion, pipe, prompts, call | {"latents": latents})
        call = call_of(inversion, pipe, len(prompts), call)
        latents = call.pop("latents")
    steps = int(call.setdefault("num_inference_steps", 50))
    alignments = [_alignment(pipe.tokenizer, prompts[0], target, edit) for target in prompts[1:]]
    edits = [
        one
        for image, alignment in enumerate(alignments, 1)
        for one in _edits(pipe.tokenizer, prompts[image], image, alignment, steps, cross_steps, weights)
    ]
    frozen = _window(self_steps, steps)
    if frozen:
        edits.append(
            Freeze(0, steps=frozen, image=range(1, len(prompts)), branch="cond", max_places=MAX_FROZEN)
        )
    call |= _noise(latents, generator, len(prompts))
    blend = None
    if blend_words is not None:
        blend = Blend(pipe, _size_hw(pipe, call), blend_words, blend_threshold)
    return _run(pipe, prompts, edits, blend, inversion, call, keep_steps=keep_steps)


def _run(
    pipe: Any,
    prompts: list[str],
    edits: list[Edit],
    blend: Blend | None,
    inversion: Inversion | None,
    call: dict[str, Any],
    *,
    keep_steps: bool,
) -> EditedPictures:
    kept: list[Tensor] = []
    users = call.pop("callback_on_step_end", None)
    with ExitStack() as stack:
        stack.enter_context(ddim_steps(inversion, pipe))
        branches = None if inversion is None else branches_of(inversion)
        if edits:
            stack.enter_context(edited(pipe, *edits, branches=branches))
        trace = None
        if blend is not None:
            trace = stack.enter_context(capture(pipe, qk=False, keep=blend.keep, branches=branches))

        def end_step(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            if blend is not None and trace is not None:
                tensors["latents"] = blend(trace, tensors["latents"])
            if inversion is not None:
                next_text(inversion, pipe, step, tensors)
            if keep_steps:
                kept.append(tensors["latents"].clone())
            return tensors if users is None else users(pipeline, step, timestep, tensors)

        images = pipe(prompts, callback_on_step_end=end_step, **call).images
    return EditedPictures(images, kept)


def _checked(pipe: Any, prompts: Sequence[str], edit: str, blend_words: Sequence[Words] | None) -> list[str]:
    if isinstance(prompts, str) or len(prompts) < 2 or not all(isinstance(one, str) for one in prompts):
        raise ParameterError(
            f"prompts are {prompts!r}; expected a list of the source and at least one target"
        )
    if edit not in get_args(How):
        raise ParameterError(f"edit is {edit!r}; expected one of {nearest(str(edit), get_args(How))}")
    if blend_words is not None and (isinstance(blend_words, str) or len(blend_words) != len(prompts)):
        raise ParameterError(
            f"blend_words are {blend_words!r}; expected a word, or several, for each of the {len(prompts)} prompts"
        )
    if model_of(pipe)[0] is not UNET or getattr(pipe, "tokenizer", None) is None:
        raise ModelError(
            f"prompt_to_prompt can't be used with {type(pipe).__name__}: it needs a U-Net whose cross-attention reads "
            "one text, as in Stable Diffusion v1, v2 and XL; attnscope.edit works with other models"
        )
    return list(prompts)


def _alignment(tokenizer: Any, source: str, target: str, edit: str) -> Alignment:
    if edit == "reweight":
        return unchanged(tokenizer, source)
    return replaced(tokenizer, source, target) if edit == "replace" else refined(tokenizer, source, target)


def _edits(
    tokenizer: Any,
    target: str,
    image: int,
    alignment: Alignment,
    steps: int,
    cross_steps: Share | Mapping[str, Share],
    weights: Mapping[str, float] | None,
) -> Iterator[Edit]:
    """Of one target: its columns from the source in their windows of steps, then the factors of its words."""
    tokens = tokenize(tokenizer, target).tokens
    factors = {
        word: (find_span(target, tokens, word).tokens, factor) for word, factor in (weights or {}).items()
    }
    for window, taken in _windows(target, tokens, cross_steps, steps + 1):
        of_window: dict[str, Any] = {"steps": window, "image": image, "branch": "cond", "kind": "cross"}
        share = torch.zeros(len(tokens))
        share[taken] = alignment.share[taken]
        yield Replace(0, mapping=alignment.table, share=share, **of_window)
        for of_word, factor in factors.values():
            if both := [token for token in of_word if token in taken]:
                yield Reweight(both, factor, **of_window)


def _windows(
    target: str, tokens: Sequence[Any], cross_steps: Share | Mapping[str, Share], steps: int
) -> Iterator[tuple[range, list[int]]]:
    """Steps, and the tokens whose columns come from the source in them; a word's own steps count for it alone."""
    shares = dict(cross_steps) if isinstance(cross_steps, Mapping) else {DEFAULT: cross_steps}
    of_token = [shares.pop(DEFAULT, (0.0, 1.0))] * len(tokens)
    for word, share in shares.items():
        for token in find_span(target, tuple(tokens), word).tokens:
            of_token[token] = share
    for share in dict.fromkeys(of_token):
        if window := _window(share, steps):
            yield window, [at for at, own in enumerate(of_token) if own == share]


def _window(share: Share, steps: int) -> range:
    """Numbers of the steps that a share of all of them, or a part from one share to another, has."""
    start, stop = share if isinstance(share, (tuple, list)) else (0.0, share)
    if not 0 <= start <= 1 or not 0 <= stop <= 1:
        raise ParameterError(f"steps {share!r}: expected a share of all steps, 0 to 1, or (from, to)")
    return range(int(start * steps), int(stop * steps))


def _noise(latents: Tensor | None, generator: torch.Generator | int | None, count: int) -> dict[str, Any]:
    """One noise for all prompts, as arguments of the pipeline; what schedulers add in a step is one, too."""
    given: dict[str, Any] = {}
    if latents is not None:
        if latents.ndim != 4 or latents.shape[0] not in (1, count):
            raise ParameterError(
                f"latents are {tuple(latents.shape)}; expected the noise of one picture, (1, channel, h, w)"
            )
        given["latents"] = latents[:1].expand(count, -1, -1, -1).clone()
    if generator is None:
        generator = int(torch.randint(2**62, ()).item())
    first = torch.Generator().manual_seed(generator) if isinstance(generator, int) else generator
    if not isinstance(first, torch.Generator):
        raise ParameterError(f"generator is {generator!r}; expected one torch.Generator, or a seed")
    state = first.get_state()
    return {**given, "generator": [torch.Generator(first.device).set_state(state) for _ in range(count)]}


def _size_hw(pipe: Any, call: Mapping[str, Any]) -> tuple[int, int]:
    native = pipe.unet.config.sample_size * pipe.vae_scale_factor
    return call.get("height") or native, call.get("width") or native

"""A small stand-in for ComfyUI, for tests: model patcher, guider, samplers, U-Net and CLIP, as far as nodes see them.

It is written after what ComfyUI 0.3.64 does, and is not ComfyUI: names, arguments, the order of calls and what is in
transformer_options are the same. The same tests run with the true one, see comfy_real.py.
"""

from __future__ import annotations

import copy
import math
import re
import uuid
from types import SimpleNamespace
from typing import Any, ClassVar

import torch
from comfy_stand_in_unet import UNetModel, executor, wrappers_of
from torch import Tensor, nn

SIGMAS = (14.0, 6.0, 2.0, 0.5, 0.0)
WORD_PIECES = ("<start>", "<end>", "ca", *(chr(code) for code in range(33, 127)))
CHUNK = 12


class ModelPatcher:
    """What nodes see of ComfyUI's: clones share the model and copy its options."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.model_options: dict[str, Any] = {"transformer_options": {}}
        self.wrappers: dict[str, dict[str, list[Any]]] = {}

    def clone(self) -> ModelPatcher:
        twin = ModelPatcher(self.model)
        twin.model_options = copy.deepcopy(self.model_options)
        twin.wrappers = {
            kind: {key: list(of) for key, of in named.items()} for kind, named in self.wrappers.items()
        }
        return twin

    def get_model_object(self, name: str) -> Any:
        return getattr(self.model, name)

    def add_wrapper_with_key(self, kind: str, key: str, wrapper: Any) -> None:
        self.wrappers.setdefault(kind, {}).setdefault(key, []).append(wrapper)

    def _patch(self, name: str, patch: Any) -> None:
        patches = self.model_options["transformer_options"].setdefault("patches", {})
        patches[name] = [*patches.get(name, []), patch]

    def set_model_attn1_patch(self, patch: Any) -> None:
        self._patch("attn1_patch", patch)

    def set_model_attn2_patch(self, patch: Any) -> None:
        self._patch("attn2_patch", patch)

    def set_model_attn2_replace(self, patch: Any, block: str, number: int) -> None:
        replaced = self.model_options["transformer_options"].setdefault("patches_replace", {})
        replaced.setdefault("attn2", {})[block, number] = patch


class Guider:
    """ComfyUI's CFGGuider: positive and negative conditionings, batched together where they fit."""

    def __init__(
        self, patcher: ModelPatcher, conds: dict[str, Any], cfg: float, *, negative_first: bool = False
    ) -> None:
        self.patcher, self.cfg, self.negative_first = patcher, cfg, negative_first
        self.conds = {
            name: [{**extra, "cross_attn": encoded, "uuid": uuid.uuid4()} for encoded, extra in of]
            for name, of in conds.items()
        }
        self.options = {**patcher.model_options["transformer_options"], "wrappers": patcher.wrappers}

    def sample(self, noise: Tensor, sampler: Any, sigmas: Tensor, seed: int) -> Tensor:
        run = executor(self._outer_sample, self, wrappers_of(self.options, "outer_sample"))
        return run(noise, torch.zeros_like(noise), sampler, sigmas, None, None, True, seed)

    def _outer_sample(self, noise, latent, sampler, sigmas, mask, callback, disable_pbar, seed):  # type: ignore
        return sampler.sampler_function(self, noise * sigmas[0], sigmas, callback)

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        predict = executor(self.predict_noise, self, wrappers_of(self.options, "predict_noise"))
        return predict(x, sigma, {"transformer_options": self.options}, 0)

    def predict_noise(self, x: Tensor, sigma: Tensor, model_options: Any, seed: Any) -> Tensor:
        positive, negative = self.conds["positive"], self.conds["negative"]
        if self.cfg == 1:
            return self.predict_all([positive], x, sigma)[0]
        if self.negative_first:  # as DualCFGGuider numbers them
            uncond, cond = self.predict_all([negative, positive], x, sigma)
        else:
            cond, uncond = self.predict_all([positive, negative], x, sigma)
        return uncond + (cond - uncond) * self.cfg

    def predict_all(self, conds: list[Any], x: Tensor, sigma: Tensor) -> list[Tensor]:
        """calc_cond_batch: what fits goes into one call, the last conditioning first."""
        to_run = [(at, cond) for at, of in enumerate(conds) for cond in of]
        out = [torch.zeros_like(x) for _ in conds]
        while to_run:
            batch = to_run[:1] if self.patcher.model.separate else to_run[::-1]
            to_run = [each for each in to_run if all(each is not other for other in batch)]
            for (at, _), predicted in zip(batch, self._call(batch, x, sigma).chunk(len(batch)), strict=True):
                out[at] += predicted / len(conds[at])
        return out

    def _call(self, batch: list[Any], x: Tensor, sigma: Tensor) -> Tensor:
        given = [cond["cross_attn"].expand(len(x), -1, -1) for _, cond in batch]
        longest = math.lcm(*(each.shape[1] for each in given))  # a shorter text is repeated
        context = torch.cat([each.repeat(1, longest // each.shape[1], 1) for each in given])
        options = {
            **self.options,
            "cond_or_uncond": [at for at, _ in batch],
            "uuids": [cond["uuid"] for _, cond in batch],
            "sigmas": sigma,
        }
        rows, times = torch.cat([x] * len(batch)), torch.cat([sigma] * len(batch))
        return self.patcher.model.diffusion_model(rows, times, context, None, None, options)


def sample_euler(model: Guider, x: Tensor, sigmas: Tensor, callback: Any) -> Tensor:
    """One prediction a step."""
    for at in range(len(sigmas) - 1):
        denoised = model(x, sigmas[at].repeat(len(x)))
        if callback is not None:
            callback(at, denoised, x, len(sigmas) - 1)
        x = x + (x - denoised) / sigmas[at] * (sigmas[at + 1] - sigmas[at])
    return x


def sample_heun(model: Guider, x: Tensor, sigmas: Tensor, callback: Any) -> Tensor:
    """Two predictions a step but the last: the step is reported after the first."""
    for at in range(len(sigmas) - 1):
        denoised = model(x, sigmas[at].repeat(len(x)))
        if callback is not None:
            callback(at, denoised, x, len(sigmas) - 1)
        slope, change = (x - denoised) / sigmas[at], sigmas[at + 1] - sigmas[at]
        if sigmas[at + 1] > 0:
            there = x + slope * change
            again = model(there, sigmas[at + 1].repeat(len(x)))
            slope = (slope + (there - again) / sigmas[at + 1]) / 2
        x = x + slope * change
    return x


def sample_dpm_fast(model: Guider, x: Tensor, sigmas: Tensor, callback: Any) -> Tensor:
    """Reports a step after the predictions of the next."""
    for at in range(len(sigmas) - 2):
        x = x - 0.1 * model(x, sigmas[at].repeat(len(x))) - 0.1 * model(x, sigmas[at + 1].repeat(len(x)))
        callback(at, x, x, len(sigmas) - 1)
    return x


class _Tokenizer:
    """Each letter is a token: CLIP's byte pairs with one merge, ca."""

    inv_vocab: ClassVar[dict[int, str]] = dict(
        enumerate([*WORD_PIECES, *(f"{piece}</w>" for piece in WORD_PIECES[2:])])
    )


class Clip:
    """ComfyUI's CLIP with a tokenizer of letters, of which c and a merge; weights may not be nested."""

    def __init__(self) -> None:
        self.tokenizer = SimpleNamespace(clip_l=_Tokenizer())

    def tokenize(self, text: str, return_word_ids: bool = False) -> dict[str, Any]:
        number = {piece: at for at, piece in _Tokenizer.inv_vocab.items()}
        entries = []
        for group, (segment, weight) in enumerate(_weights(text), start=1):
            for word in segment.lower().split():
                *before, last = re.findall("ca|.", word)
                pieces = [*before, f"{last}</w>"]
                entries += [(number[piece], weight, group) for piece in pieces]
        parts = [entries[at : at + CHUNK - 2] for at in range(0, max(len(entries), 1), CHUNK - 2)]
        chunks = [
            [(0, 1.0, 0), *part, *[(1, 1.0, 0)] * (CHUNK - 1 - len(part))] for part in parts
        ]  # start, text, end, padding
        return {"l": chunks if return_word_ids else [[entry[:2] for entry in chunk] for chunk in chunks]}

    def encode_from_tokens(self, tokens: dict[str, Any]) -> Tensor:
        vectors = torch.randn(len(_Tokenizer.inv_vocab), 16, generator=torch.Generator().manual_seed(5))
        flat = [vectors[entry[0]] * entry[1] for chunk in tokens["l"] for entry in chunk]
        return torch.stack(flat)[None] + torch.linspace(0, 1, len(flat))[None, :, None]


def _weights(text: str) -> list[tuple[str, float]]:
    found = []
    for bracketed, plain in re.findall(r"\(([^()]*)\)|([^()]+)", text):
        segment, _, weight = bracketed.partition(":")
        found.append((plain, 1.0) if plain else (segment, float(weight or 1.1)))
    return found


class StandInWorld:
    """Models, CLIP and sampling of the stand-in."""

    name = "stand-in"

    def model(self) -> ModelPatcher:
        """A patcher of a small U-Net; the same weights each time."""
        torch.manual_seed(0)
        unet = UNetModel()
        for parameter in unet.parameters():
            nn.init.normal_(parameter, std=0.3)
        return ModelPatcher(SimpleNamespace(diffusion_model=unet, separate=False))

    def separate(self, model: ModelPatcher) -> None:
        """Make cond and uncond run in calls of their own."""
        model.model.separate = True

    def clip(self) -> Clip:
        """A CLIP."""
        return Clip()

    def sample(
        self,
        model: ModelPatcher,
        positive: Any,
        negative: Any,
        *,
        images: int = 1,
        size: tuple[int, int] = (4, 6),
        steps: int = 3,
        cfg: float = 5.0,
        sampler: str = "euler",
        seed: int = 1,
        negative_first: bool = False,
    ) -> Tensor:
        """What KSampler does, in inference mode as ComfyUI runs its nodes."""
        with torch.inference_mode():
            noise = torch.randn(images, 4, *size, generator=torch.Generator().manual_seed(seed))
            function = {"euler": sample_euler, "heun": sample_heun, "dpm_fast": sample_dpm_fast}[sampler]
            conds = {"positive": positive, "negative": negative}
            guider = Guider(model, conds, cfg, negative_first=negative_first)
            sigmas = torch.tensor([*SIGMAS[:steps], 0.0])
            return guider.sample(noise, SimpleNamespace(sampler_function=function), sigmas, seed)

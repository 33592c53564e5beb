"""The attentions of a ComfyUI U-Net: their blocks as attnscope numbers them, and how ComfyUI calls them."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from attnscope.errors import CaptureError

_PATH = re.compile(r"(input|middle|output)_blocks?(?:\.(\d+))?\.\d+\.transformer_blocks\.(\d+)")
_STAGES = {"input": "down", "middle": "mid", "output": "up"}
_ORDER = tuple(_STAGES)
KIND_OF_MODULE = {"attn1": "self", "attn2": "cross"}


class SiteKey(NamedTuple):
    """How ComfyUI names an attention while it runs.

    Attributes:
        where: 'input', 'middle' or 'output'.
        number: Number of the U-Net's block there; 0 in the middle.
        inner: Number of the transformer block in it.
        kind: 'self' or 'cross'.
    """

    where: str
    number: int
    inner: int
    kind: str

    def __str__(self) -> str:
        return f"{self.kind}-attention of {self.where} block {self.number}, transformer block {self.inner}"


class Site(NamedTuple):
    """One attention of the U-Net.

    Attributes:
        block: Block number in the order of execution, from 1.
        kind: 'self' or 'cross'.
        path: The module's path in the U-Net.
        stage: 'down', 'mid' or 'up'.
        heads: How many heads it has.
        head_dim: Channels of a head.
    """

    block: int
    kind: str
    path: str
    stage: str
    heads: int
    head_dim: int


def sites_of(unet: Any) -> dict[SiteKey, Site]:
    """The attentions of a U-Net in the order in which they run.

    Args:
        unet: ComfyUI's `diffusion_model`.

    Raises:
        CaptureError: It isn't a U-Net of pictures, or an attention is of another sort than the usual two.
    """
    blocks = {
        path: module
        for path, module in unet.named_modules()
        if hasattr(module, "attn1") and hasattr(module, "attn2")
    }
    if not blocks or not all(map(_PATH.fullmatch, blocks)):
        odd = next((path for path in blocks if not _PATH.fullmatch(path)), None)
        what = f"its block {odd!r} is unknown" if odd else "it has no such blocks"
        raise CaptureError(
            f"the model is a {type(unet).__name__}, and {what}: expected a U-Net with self- and cross-attention, as SD "
            "1.x, SD 2.x and SDXL have; Flux, SD 3 and video models can't be recorded here"
        )
    sites: dict[SiteKey, Site] = {}
    for number, path in enumerate(sorted(blocks, key=_place), start=1):
        sites |= _sites_of_block(number, path, blocks[path])
    return sites


def _place(path: str) -> tuple[int, int, int]:
    match = _PATH.fullmatch(path)
    assert match is not None, path
    return _ORDER.index(match[1]), int(match[2] or 0), int(match[3])


def _sites_of_block(number: int, path: str, block: Any) -> dict[SiteKey, Site]:
    stage, at, index = _place(path)
    where = _ORDER[stage]
    if getattr(block, "disable_self_attn", False) or getattr(block, "switch_temporal_ca_to_sa", False):
        raise CaptureError(
            f"{path} attends to other things than usual (disable_self_attn or switch_temporal_ca_to_sa): such models "
            "can't be recorded here; expected SD 1.x, SD 2.x or SDXL"
        )
    sites = {}
    for name, kind in KIND_OF_MODULE.items():
        if (attention := getattr(block, name)) is None:
            continue
        key = SiteKey(where, at, index, kind)
        sites[key] = Site(number, kind, f"{path}.{name}", _STAGES[where], attention.heads, attention.dim_head)
    return sites

"""Families of models: what a capture has to know of one, said in one place.

Everything that depends on how a model is built stands here: the pipeline's attribute that holds it, what its forward
takes, which attention comes when, and whose feature map an attention reads. Adding a family is adding an entry.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from attnscope.atlas.order import LayerPlace, execution_order
from attnscope.records import Kind


@dataclass(frozen=True)
class Family:
    """One way to build a denoising model.

    name: for messages. component: the pipeline's attribute that holds the model.
    arguments: what its forward calls the noisy latent, the timestep and the conditioning, in the order of its
    signature. order: numbers module paths of attentions as data passes them. kind: of an attention module and its path.
    frame_axis: of a noisy latent with five axes, by the paths of the model's modules.
    not_recorded: why an attention at this path is not recorded, None if it is.
    map_owner: from an attention's path to that of the module whose input is the feature map that it reads.
    """

    name: str
    component: str
    arguments: tuple[str, str, str]
    order: Callable[[Iterable[str]], tuple[LayerPlace, ...]]
    kind: Callable[[Any, str], Kind]
    frame_axis: Callable[[Iterable[str]], int]
    not_recorded: Callable[[str], str | None]
    map_owner: Callable[[str], str]


def _unet_kind(attention: Any, path: str) -> Kind:
    if path.endswith(".fuser.attn"):
        return "fuser"
    if getattr(attention, "added_kv_proj_dim", None) is not None:
        return "cross" if getattr(attention, "only_cross_attention", False) else "joint"
    return "cross" if getattr(attention, "is_cross_attention", False) else "self"


_IN_BLOCKS = re.compile(r"\b(down_blocks|mid_block|up_blocks)\b")
_OVER_TIME = re.compile(r"\b(motion_modules|temp_attentions|temporal_transformer_blocks|transformer_in)\b")


def _not_recorded_of_unet(path: str) -> str | None:
    if _OVER_TIME.search(path):
        return "attention over time, between the frames of a video"
    if not _IN_BLOCKS.search(path):
        return "attention outside the blocks, over what conditions the model"
    if ".ctrl_" in path:
        return "attention of a control branch, which is not the U-Net's own"
    return None


def _unet_frame_axis(paths: Iterable[str]) -> int:
    """Stable Video Diffusion has frames before channels, the others after."""
    return 1 if any("temporal_transformer_blocks" in path for path in paths) else 2


def _unet_map_owner(path: str) -> str:
    """The transformer around a block; a K-block around attn1 and attn2; or the attention itself, which gets a map."""
    around, block, _ = path.partition(".transformer_blocks.")
    parent, _, leaf = path.rpartition(".")
    return around if block else parent if leaf in ("attn1", "attn2") else path


UNET = Family(
    name="U-Net",
    component="unet",
    arguments=("sample", "timestep", "encoder_hidden_states"),
    order=execution_order,
    kind=_unet_kind,
    frame_axis=_unet_frame_axis,
    not_recorded=_not_recorded_of_unet,
    map_owner=_unet_map_owner,
)
"""Stable Diffusion v1, v2, XL and their like: spatial transformers in down, mid and up blocks."""

FAMILIES = (UNET,)

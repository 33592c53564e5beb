"""Families of models: what a capture has to know of one, said in one place.

Everything that depends on how a model is built stands here: the pipeline's attribute that holds it, what its forward
takes, which attention comes when, and whose feature map an attention reads. Adding a family is adding an entry.
"""

from __future__ import annotations

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
    signature. order: numbers module paths of attentions as data passes them. kind: of an attention module.
    map_owner: from an attention's path to that of the module whose input is the feature map that it reads.
    """

    name: str
    component: str
    arguments: tuple[str, str, str]
    order: Callable[[Iterable[str]], tuple[LayerPlace, ...]]
    kind: Callable[[Any], Kind]
    map_owner: Callable[[str], str]


def _unet_kind(attention: Any) -> Kind:
    return "cross" if getattr(attention, "is_cross_attention", False) else "self"


UNET = Family(
    name="U-Net",
    component="unet",
    arguments=("sample", "timestep", "encoder_hidden_states"),
    order=execution_order,
    kind=_unet_kind,
    map_owner=lambda path: path.split(".transformer_blocks.")[0],
)
"""Stable Diffusion v1, v2, XL and their like: spatial transformers in down, mid and up blocks."""

FAMILIES = (UNET,)

"""Families of denoising models: what a capture and the tables have to know of one, said in one place each.

family.py       what a family says
packed.py       latents that are packed, as Flux has them
chat.py         prompts in a chat's template
planning.py     what is known of a run before it: configurations by name
unet.py         Stable Diffusion v1, v2, XL and all other U-Nets
unet_names.py   those that are known by name
latents.py      a picture's latent as pipelines scale it and lay it out
description.py  what is said of a family of transformers; each has a file of its own
blocks.py       their lists of blocks
transformer.py  what follows from it
sd3.py          Stable Diffusion 3 and 3.5
flux.py         Flux.1 with Fill, Kontext and Redux
pixart.py       PixArt-alpha and -sigma
video.py        what video transformers have alike
cogvideox.py    CogVideoX
ltx.py          LTX-Video
wan.py          Wan and SkyReels V2
hunyuanvideo.py HunyuanVideo
mochi.py        Mochi
allegro.py      Allegro
cosmos.py       Cosmos
hunyuandit.py   HunyuanDiT
auraflow.py     AuraFlow
cogview.py      CogView3-Plus and CogView4
lumina.py       Lumina-Next
lumina2.py      Lumina-Image 2.0
chroma.py       Chroma
flux2.py        Flux 2 and its Klein
qwenimage.py    Qwen-Image and its Edit
zimage.py       Z-Image
fluxlike.py     Bria, Ovis-Image and LongCat-Image
prx.py          PRX
sana.py         Sana and Sana Sprint

To add one: docs/adding-a-model.md.
"""

from attnscope.atlas.families.allegro import ALLEGRO
from attnscope.atlas.families.auraflow import AURAFLOW
from attnscope.atlas.families.chroma import CHROMA
from attnscope.atlas.families.cogvideox import COGVIDEOX
from attnscope.atlas.families.cogview import COGVIEW3, COGVIEW4
from attnscope.atlas.families.cosmos import COSMOS
from attnscope.atlas.families.family import Attended, Family, Sides, TextPart, Written
from attnscope.atlas.families.flux import FLUX
from attnscope.atlas.families.flux2 import FLUX2
from attnscope.atlas.families.fluxlike import BRIA, LONGCAT, OVIS
from attnscope.atlas.families.hunyuandit import HUNYUANDIT
from attnscope.atlas.families.hunyuanvideo import HUNYUANVIDEO
from attnscope.atlas.families.ltx import LTX
from attnscope.atlas.families.lumina import LUMINA
from attnscope.atlas.families.lumina2 import LUMINA2
from attnscope.atlas.families.mochi import MOCHI
from attnscope.atlas.families.pixart import PIXART
from attnscope.atlas.families.planning import Config, Known, Setting, unwrapped, without_adapters
from attnscope.atlas.families.prx import PRX
from attnscope.atlas.families.qwenimage import QWENIMAGE
from attnscope.atlas.families.sana import SANA
from attnscope.atlas.families.sd3 import SD3
from attnscope.atlas.families.transformer import Transformer
from attnscope.atlas.families.unet import UNET
from attnscope.atlas.families.wan import SKYREELS2, WAN
from attnscope.atlas.families.zimage import ZIMAGE

TRANSFORMERS: tuple[Transformer, ...] = (
    SD3,
    FLUX,
    PIXART,
    COGVIDEOX,
    HUNYUANDIT,
    AURAFLOW,
    COGVIEW3,
    COGVIEW4,
    LUMINA,
    LUMINA2,
    SANA,
    CHROMA,
    FLUX2,
    QWENIMAGE,
    ZIMAGE,
    BRIA,
    OVIS,
    LONGCAT,
    PRX,
    LTX,
    WAN,
    SKYREELS2,
    HUNYUANVIDEO,
    MOCHI,
    ALLEGRO,
    COSMOS,
)
FAMILIES: tuple[Family, ...] = (*TRANSFORMERS, UNET)
"""A model is of the first family that takes it."""

__all__ = [
    "COGVIDEOX",
    "FAMILIES",
    "FLUX",
    "PIXART",
    "SD3",
    "TRANSFORMERS",
    "UNET",
    "Attended",
    "Config",
    "Family",
    "Known",
    "Setting",
    "Sides",
    "TextPart",
    "Transformer",
    "Written",
    "unwrapped",
    "without_adapters",
]

"""Random transformers of diffusers' own classes in whole pipelines, a second each: no weights on disk, no download.

parts.py         tokenizers, text encoders and autoencoders for them
sd3.py           Stable Diffusion 3, with the second attention of 3.5
flux.py          Flux.1
pixart.py        PixArt-alpha and -sigma
hunyuandit.py    HunyuanDiT
auraflow.py      AuraFlow
cogview.py       CogView3-Plus and CogView4
lumina.py        Lumina-Next and Lumina-Image 2.0
sana.py          Sana
chroma.py        Chroma
flux2.py         Flux 2 and its Klein
qwenimage.py     Qwen-Image
zimage.py        Z-Image
fluxlike.py      Bria, Ovis-Image and LongCat-Image
prx.py           PRX
cogvideox.py     CogVideoX, a video, as all below
ltx.py           LTX-Video
wan.py           Wan, also with a picture and of two models, and SkyReels V2
hunyuanvideo.py  HunyuanVideo
mochi.py         Mochi
allegro.py       Allegro
cosmos.py        Cosmos
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from attnscope.errors import ParameterError
from attnscope.testing.transformers.allegro import tiny_allegro
from attnscope.testing.transformers.auraflow import tiny_auraflow
from attnscope.testing.transformers.chroma import tiny_chroma
from attnscope.testing.transformers.cogvideox import tiny_cogvideox
from attnscope.testing.transformers.cogview import tiny_cogview3, tiny_cogview4
from attnscope.testing.transformers.cosmos import tiny_cosmos
from attnscope.testing.transformers.flux import tiny_flux
from attnscope.testing.transformers.flux2 import tiny_flux2, tiny_flux2_klein
from attnscope.testing.transformers.fluxlike import tiny_bria, tiny_longcat, tiny_ovis
from attnscope.testing.transformers.hunyuandit import tiny_hunyuandit
from attnscope.testing.transformers.hunyuanvideo import tiny_hunyuanvideo
from attnscope.testing.transformers.ltx import tiny_ltx
from attnscope.testing.transformers.lumina import tiny_lumina, tiny_lumina2
from attnscope.testing.transformers.mochi import tiny_mochi
from attnscope.testing.transformers.pixart import tiny_pixart, tiny_pixart_sigma
from attnscope.testing.transformers.prx import tiny_prx
from attnscope.testing.transformers.qwenimage import tiny_qwenimage
from attnscope.testing.transformers.sana import tiny_sana
from attnscope.testing.transformers.sd3 import tiny_sd3
from attnscope.testing.transformers.wan import (
    tiny_skyreels2,
    tiny_wan,
    tiny_wan_of_two,
    tiny_wan_with_picture,
)
from attnscope.testing.transformers.zimage import tiny_zimage

TINY: dict[str, Callable[..., Any]] = {
    "sd3": tiny_sd3,
    "flux": tiny_flux,
    "pixart": tiny_pixart,
    "cogvideox": tiny_cogvideox,
    "ltx": tiny_ltx,
    "wan": tiny_wan,
    "skyreels2": tiny_skyreels2,
    "hunyuanvideo": tiny_hunyuanvideo,
    "mochi": tiny_mochi,
    "allegro": tiny_allegro,
    "cosmos": tiny_cosmos,
    "hunyuandit": tiny_hunyuandit,
    "auraflow": tiny_auraflow,
    "cogview3": tiny_cogview3,
    "cogview4": tiny_cogview4,
    "lumina": tiny_lumina,
    "lumina2": tiny_lumina2,
    "sana": tiny_sana,
    "chroma": tiny_chroma,
    "flux2": tiny_flux2,
    "qwenimage": tiny_qwenimage,
    "zimage": tiny_zimage,
    "bria": tiny_bria,
    "ovis": tiny_ovis,
    "longcat": tiny_longcat,
    "prx": tiny_prx,
}
"""What makes the pipeline of each family, by the family's id."""


def tiny_transformer(family: str, folder: Path, **changes: Any) -> Any:
    """A random pipeline of a family.

    Args:
        family: Such as 'sd3' or 'flux'.
        folder: Where the tokenizer's files are written.
        **changes: Options of the transformer to change.

    Raises:
        ParameterError: The family is unknown. The message lists them.
    """
    if family not in TINY:
        raise ParameterError(f"family {family!r}: expected one of {', '.join(TINY)}")
    return TINY[family](folder, **changes)


__all__ = [
    "TINY",
    "tiny_allegro",
    "tiny_auraflow",
    "tiny_bria",
    "tiny_chroma",
    "tiny_cogvideox",
    "tiny_cogview3",
    "tiny_cogview4",
    "tiny_cosmos",
    "tiny_flux",
    "tiny_flux2",
    "tiny_flux2_klein",
    "tiny_hunyuandit",
    "tiny_hunyuanvideo",
    "tiny_longcat",
    "tiny_ltx",
    "tiny_lumina",
    "tiny_lumina2",
    "tiny_mochi",
    "tiny_ovis",
    "tiny_pixart",
    "tiny_pixart_sigma",
    "tiny_prx",
    "tiny_qwenimage",
    "tiny_sana",
    "tiny_sd3",
    "tiny_skyreels2",
    "tiny_transformer",
    "tiny_wan",
    "tiny_wan_of_two",
    "tiny_wan_with_picture",
    "tiny_zimage",
]

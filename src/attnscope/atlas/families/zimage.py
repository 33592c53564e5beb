"""Z-Image: joint attention of the image and the text (Qwen 3), rows as lists of tensors.

`diffusers/models/transformers/transformer_z_image.py`: image first, filled up to a multiple of 32 tokens, then the
text, filled up likewise; what is filled up is seen by all. Before that the image attends to itself in a refiner.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attnscope.atlas.families.chat import unwritten, written_in
from attnscope.atlas.families.family import Attended, Config, RowsBy, Sides, TextPart, Written
from attnscope.atlas.families.latents import Latents
from attnscope.atlas.families.transformer import Blocks, Transformer
from attnscope.errors import CaptureError
from attnscope.records import Grid
from attnscope.records.layers import SizeHW

if TYPE_CHECKING:
    from torch import Tensor

_MULTIPLE = 32
_PATCH = 2
_IMAGE = ("own", "padding")
_JOINT = (*_IMAGE, "context")


def _attend(config: Config, arguments: Mapping[str, Any]) -> Attended:
    images, texts = arguments["x"], arguments["cap_feats"]
    if isinstance(images[0], list):
        raise CaptureError(
            "this call of Z-Image is given a list of pictures for each row (ZImageOmniPipeline), which "
            "attnscope does not support: capture a ZImagePipeline"
        )
    latent: SizeHW = tuple(images[0].shape[-2:])
    patch = arguments.get("patch_size", _PATCH)
    grid = Grid(latent[0] // patch, latent[1] // patch)
    lengths = [_filled(len(text)) for text in texts]
    parts = {"own": grid.places, "padding": _filled(grid.places) - grid.places, "context": max(lengths)}
    is_even = min(lengths) == max(lengths)
    return Attended(
        grid,
        latent,
        {name: count for name, count in parts.items() if count},
        rows=() if is_even else tuple({"context": length} for length in lengths),
    )


def _besides(config: Config, pipeline: str, grid: Grid) -> Mapping[str, int]:
    padding = _filled(grid.places) - grid.places
    return {"padding": padding} if padding else {}


def _filled(tokens: int) -> int:
    return -(-tokens // _MULTIPLE) * _MULTIPLE


def _grid(config: Config, latent: SizeHW) -> Grid:
    return Grid(latent[0] // _PATCH, latent[1] // _PATCH)


def _longest(variables: Mapping[str, Any]) -> int:
    texts = [*(variables["prompt_embeds"] or []), *(variables.get("negative_prompt_embeds") or [])]
    return max(_filled(len(text)) for text in texts)


def _most_places(config: Config) -> int:
    return min(config["axes_lens"][1:])


def _write(pipeline: Any, variables: Mapping[str, Any], text: str, is_prompt: bool) -> Written:
    """A list of prompts is changed by the pipeline itself. What the tokenizer fills up is cut off."""

    def write(content: str) -> str:
        return pipeline.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=True,
        )

    prompt = unwritten(text, write)
    dropped = range(_longest(variables), variables["max_sequence_length"])
    return written_in(prompt, write)._replace(dropped=dropped, prompt=prompt)


def _listed(pipeline: Any, latent: Tensor) -> list[Tensor]:
    return list(latent.unsqueeze(2))


_ROWS: RowsBy = {"prompt_embeds": ("cond",), "prompt_embeds_model_input": "batch, cond first"}

ZIMAGE = Transformer(
    id="zimage",
    name="Z-Image transformer",
    models=("ZImageTransformer2DModel",),
    blocks=(
        Blocks("noise_refiner", "n_refiner_layers", {"attention": Sides(_IMAGE, _IMAGE)}, stage="refiner"),
        Blocks("layers", "n_layers", {"attention": Sides(_JOINT, _JOINT)}, stage="joint"),
    ),
    attend=_attend,
    plan=_grid,
    besides=_besides,
    texts=(TextPart("context", ("tokenizer",), write=_write),),
    text_lengths={"context": 512},
    latents=Latents(laid_out=_listed),
    unguided=0.0,
    most_places=_most_places,
    pipelines={
        "ZImagePipeline": _ROWS,
        "ZImageImg2ImgPipeline": _ROWS,
        "ZImageInpaintPipeline": _ROWS,
        "ZImageControlNetPipeline": _ROWS,
        "ZImageControlNetInpaintPipeline": _ROWS,
    },
    left_out={
        "context_refiner": "attention of the text to itself, before the image",
        "siglip_refiner": "attention of other pictures to themselves, before the image",
    },
    latent_side=128,
    arguments=("x", "t", "cap_feats"),
    longest=_longest,
)

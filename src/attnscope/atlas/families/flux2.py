"""Flux 2: joint attention of the text (Mistral 3; Qwen 3 for Klein), the image and reference pictures.

`diffusers/models/transformers/transformer_flux2.py`: text first, in double blocks and then in single ones, whose
attention is computed beside their feed-forward part. The prompt stands in a chat's template.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attnscope.atlas.families.chat import written_in
from attnscope.atlas.families.family import Attended, Config, RowsBy, Sides, TextPart, Written
from attnscope.atlas.families.latents import Latents, told_by
from attnscope.atlas.families.packed import JOINT, PACKED, attend_packed, packed_grid
from attnscope.atlas.families.transformer import Blocks, Transformer
from attnscope.errors import CaptureError

if TYPE_CHECKING:
    from torch import Tensor


def _attend(config: Config, arguments: Mapping[str, Any]) -> Attended:
    if arguments.get("kv_cache_mode") is not None:
        raise CaptureError(
            "this call keeps the keys of its reference pictures for later steps (kv_cache_mode), so its "
            "attention is not a single softmax: capture a Flux2KleinPipeline of the same parts, which "
            "computes them in each step"
        )
    return attend_packed(config, arguments)


def _write(pipeline: Any, variables: Mapping[str, Any], text: str, is_prompt: bool) -> Written:
    system = getattr(pipeline, "system_message", None)
    if system is None:  # Klein
        return written_in(
            text,
            lambda content: pipeline.tokenizer.apply_chat_template(
                [{"role": "user", "content": content}],
                tokenize=False,
                add_generation_prompt=True,
                enable_thinking=False,
            ),
        )
    told = {"role": "system", "content": [{"type": "text", "text": system}]}
    read = text.replace("[IMG]", "")
    whole = written_in(
        read,
        lambda content: pipeline.tokenizer.apply_chat_template(
            [told, {"role": "user", "content": [{"type": "text", "text": content}]}],
            tokenize=False,
            add_generation_prompt=False,
        ),
    )
    return whole._replace(prompt=read, is_complete=True)


def _normalised(vae: Any, latent: Tensor) -> Tensor:
    """By its autoencoder's statistics of the four places of a token."""
    from torch.nn.functional import pixel_shuffle, pixel_unshuffle

    eps, norm = told_by(vae, "batch_norm_eps"), vae.bn
    mean, variance = (stat.view(-1, 1, 1).to(latent) for stat in (norm.running_mean, norm.running_var))
    tokens = (pixel_unshuffle(latent, PACKED) - mean) / (variance + eps).sqrt()
    return pixel_shuffle(tokens, PACKED)


def _laid_out(pipeline: Any, latent: Tensor) -> Tensor:
    from torch.nn.functional import pixel_unshuffle

    return pixel_unshuffle(latent, PACKED).flatten(2).mT


_ONE: RowsBy = {"prompt_embeds": ("cond",)}
_TWO_CALLS: RowsBy = {**_ONE, "negative_prompt_embeds": ("uncond",)}

FLUX2 = Transformer(
    id="flux2",
    name="Flux 2 transformer",
    models=("Flux2Transformer2DModel",),
    blocks=(
        Blocks("transformer_blocks", "num_layers", {"attn": Sides(JOINT, JOINT)}, stage="double"),
        Blocks(
            "single_transformer_blocks", "num_single_layers", {"attn": Sides(JOINT, JOINT)}, stage="single"
        ),
    ),
    attend=_attend,
    plan=packed_grid,
    texts=(TextPart("context", ("tokenizer",), write=_write),),
    text_lengths={"context": 512},
    latents=Latents(_normalised, _laid_out),
    pipelines={
        "Flux2Pipeline": _ONE,
        "Flux2KleinPipeline": _TWO_CALLS,
        "Flux2KleinInpaintPipeline": _TWO_CALLS,
        "Flux2KleinKVPipeline": _ONE,
    },
    latent_side=128,
    positions=("img_ids",),
)

"""IP-Adapters with random weights: their state dicts, and calls with embeddings of pictures."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from diffusers.models.attention_processor import IPAdapterAttnProcessor
from diffusers.models.embeddings import IPAdapterPlusImageProjection

from compatibility.parts import HEIGHT, WIDE, WIDTH, generator
from compatibility.zoo_stable_diffusion import sized

TOKENS = 4


def _attention(model: Any) -> dict[str, torch.Tensor]:
    """Keys and values of pictures for each cross-attention, numbered as checkpoints number them."""
    weights, number = {}, 1
    for name in model.attn_processors:
        if name.endswith("attn2.processor"):
            hidden = model.get_submodule(name.removesuffix(".processor")).to_q.out_features
            own = IPAdapterAttnProcessor(
                hidden, model.config.cross_attention_dim, num_tokens=(TOKENS,)
            ).state_dict()
            weights[f"{number}.to_k_ip.weight"] = own["to_k_ip.0.weight"] * 3
            weights[f"{number}.to_v_ip.weight"] = own["to_v_ip.0.weight"]
            number += 2
    return weights


def _projection(wide: int) -> dict[str, torch.Tensor]:
    made = generator(11)
    return {
        "proj.weight": torch.randn(TOKENS * wide, WIDE, generator=made), "proj.bias": torch.zeros(TOKENS * wide),
        "norm.weight": torch.ones(wide), "norm.bias": torch.zeros(wide),
    }  # fmt: skip


def _plus_projection(wide: int) -> dict[str, torch.Tensor]:
    """The resampler's weights under the names of its checkpoints."""
    made = IPAdapterPlusImageProjection(
        embed_dims=WIDE, output_dims=wide, hidden_dims=WIDE, depth=4, dim_head=64, heads=1, num_queries=TOKENS
    ).state_dict()
    inner = {
        "ln0": "0.norm1", "ln1": "0.norm2", "attn.to_q": "0.to_q", "attn.to_out.0": "0.to_out", "ff.0": "1.0",
        "ff.1.net.0.proj": "1.1", "ff.1.net.2": "1.3",
    }  # fmt: skip
    names = {f"layers.{at}.{own}": f"layers.{at}.{old}" for at in range(4) for own, old in inner.items()}
    weights = {}
    for name, value in made.items():
        if name.endswith("attn.to_k.weight"):
            weights[name.replace("attn.to_k", "0.to_kv")] = torch.cat(
                [value, made[name.replace("to_k", "to_v")]]
            )
        elif not name.endswith("attn.to_v.weight"):
            known = next((own for own in names if name.startswith(own + ".")), None)
            weights[name if known is None else name.replace(known, names[known])] = value
    return weights


def _load(pipe: Any, *projections: Any) -> None:
    wide = pipe.unet.config.cross_attention_dim
    adapters = [
        {"image_proj": projection(wide), "ip_adapter": _attention(pipe.unet)} for projection in projections
    ]
    count = len(adapters)
    pipe.load_ip_adapter(
        adapters, subfolder=[""] * count, weight_name=[""] * count, image_encoder_folder=None
    )


def embeds(pictures: int = 1, *, plus: bool = False) -> torch.Tensor:
    """Embeddings of pictures, those of no picture first.

    Args:
        pictures: How many.
        plus: One for each patch, as IP-Adapter Plus reads them.
    """
    shape = (2, pictures, 5, WIDE) if plus else (2, pictures, WIDE)
    return torch.randn(shape, generator=generator(12))


def _called(*given: torch.Tensor, **options: Any) -> Any:
    return sized(ip_adapter_image_embeds=lambda: list(given), **options)


def _masks() -> dict[str, Any]:
    half = torch.zeros(1, 1, HEIGHT, WIDTH)
    half[..., : WIDTH // 2] = 1
    return {"ip_adapter_masks": [half]}


with_adapter = SimpleNamespace(
    load=lambda pipe: _load(pipe, _projection),
    load_plus=lambda pipe: _load(pipe, _plus_projection),
    run=_called(embeds()),
    run_three=_called(embeds(3)),
    run_masked=_called(embeds(), cross_attention_kwargs=_masks),
    run_plus=_called(embeds(plus=True)),
)
two_adapters = SimpleNamespace(
    load=lambda pipe: _load(pipe, _projection, _projection), run=_called(embeds(), embeds(2))
)

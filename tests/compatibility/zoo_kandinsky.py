"""The Kandinsky family: added keys of a text, of a picture, or both."""

from __future__ import annotations

from typing import Any

import diffusers
import torch

from compatibility.case import NEGATIVE, PROMPT, Case
from compatibility.parts import (
    WIDE,
    generator,
    image_encoder,
    image_processor,
    mask,
    picture,
    scheduler,
    sharp,
    text_encoder,
    tokenizer,
)  # fmt: skip
from compatibility.parts_text import roberta_tokenizer, t5_encoder, t5_tokenizer
from compatibility.zoo_pixels import added_keys
from compatibility.zoo_stable_diffusion import asks

GROUP = "Kandinsky"
SIZE = {"height": 64, "width": 128}  # it rounds to 64 pixels
SQUARE = {"height": 64, "width": 64}  # where diffusers itself takes one side for the other


def movq() -> Any:
    """What turns latents to pictures, 8 pixels a place."""
    return diffusers.VQModel(
        block_out_channels=(32, 32, 32, 32), down_block_types=("DownEncoderBlock2D",) * 4, latent_channels=4,
        up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=1, norm_num_groups=4, norm_type="spatial",
        num_vq_embeddings=12, vq_embed_dim=4,
    ).eval()  # fmt: skip


def _first(**changes: Any) -> dict[str, Any]:
    from diffusers.pipelines.kandinsky.text_encoder import MCLIPConfig, MultilingualCLIP

    config = MCLIPConfig(
        transformerDimSize=WIDE, imageDimSize=WIDE, hidden_size=WIDE, intermediate_size=16, num_attention_heads=2,
        num_hidden_layers=1, vocab_size=len(roberta_tokenizer()), max_position_embeddings=90, pad_token_id=1,
    )  # fmt: skip
    both = {
        "addition_embed_type": "text_image",
        "encoder_hid_dim_type": "text_image_proj",
        "in_channels": 4,
        "out_channels": 8,
    }
    return {
        "text_encoder": MultilingualCLIP(config).eval(), "tokenizer": roberta_tokenizer(), "movq": movq(),
        "unet": added_keys(**{**both, **changes}), "scheduler": scheduler(clip_sample=False, set_alpha_to_one=False),
    }  # fmt: skip


def _second(**changes: Any) -> dict[str, Any]:
    of_picture = {
        "addition_embed_type": "image",
        "encoder_hid_dim_type": "image_proj",
        "in_channels": 4,
        "out_channels": 8,
    }
    noise = scheduler(clip_sample=False, set_alpha_to_one=False)
    return {"unet": added_keys(**{**of_picture, **changes}), "movq": movq(), "scheduler": noise}


def _third() -> dict[str, Any]:
    unet = diffusers.Kandinsky3UNet(
        in_channels=4,
        time_embedding_dim=8,
        groups=2,
        attention_head_dim=4,
        layers_per_block=3,
        block_out_channels=(8, 16),
        cross_attention_dim=WIDE,
        encoder_hid_dim=WIDE,
    )
    noise = diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2", clip_sample=True)
    return {
        "unet": sharp(unet),
        "movq": movq(),
        "scheduler": noise,
        "tokenizer": t5_tokenizer(),
        "text_encoder": t5_encoder(),
    }


def _prior() -> dict[str, Any]:
    prior = diffusers.PriorTransformer(
        num_attention_heads=2, attention_head_dim=8, embedding_dim=WIDE, num_layers=1
    )
    torch.nn.init.ones_(prior.clip_std)
    return {
        "prior_prior": prior.eval(),
        "prior_image_encoder": image_encoder(size=224, patch=56),
        "prior_text_encoder": text_encoder(projection=True),
        "prior_tokenizer": tokenizer(),
        "prior_image_processor": image_processor(224),
        "prior_scheduler": diffusers.UnCLIPScheduler(
            variance_type="fixed_small_log", prediction_type="sample", clip_sample=True
        ),
    }


def of_picture(seed: int = 3) -> Any:
    """The embedding of a picture."""
    return torch.randn(1, WIDE, generator=generator(seed))


EMBEDS = {"image_embeds": of_picture, "negative_image_embeds": lambda: of_picture(4)}
HINT = {"hint": lambda: torch.ones(1, 3, 64, 128)}
PRIOR = {"prior_num_inference_steps": 2}
EDIT = {"image": lambda: picture(64, 64), "strength": 1.0}
FILL = {"image": lambda: picture(64, 64), "mask_image": lambda: mask(64, 64)}


def first(name: str, run: Any, parts: Any = dict, **truth: Any) -> Case:
    """Kandinsky 2.1: ten tokens of the picture stand before those of the text."""
    changed = {**parts()}
    prior = changed.pop("prior", None)
    build = lambda: getattr(diffusers, name)(**_first(**changed), **(_prior() if prior else {}))  # noqa: E731
    return Case(name, GROUP, build, run, **{"tokens": (10 + 3,), **truth})


def second(name: str, run: Any, parts: Any = dict, **truth: Any) -> Case:
    """Kandinsky 2.2: the model reads a picture alone."""
    changed = {**parts()}
    prior = changed.pop("prior", None)
    build = lambda: getattr(diffusers, name)(**_second(**changed), **(_prior() if prior else {}))  # noqa: E731
    return Case(name, GROUP, build, run, **{"word": 0, "tokens": (0,), **truth})


def third(name: str, run: Any) -> Case:
    """Kandinsky 3: ordinary cross-attention to T5's tokens."""
    return Case(name, GROUP, lambda: getattr(diffusers, name)(**_third()), run, tokens=(2,))


def says(**options: Any) -> Any:
    return asks(PROMPT, negative_prompt=NEGATIVE, **options)


def shows(**options: Any) -> Any:
    return asks(None, **options)


NINE = {"in_channels": 9}
HINTED = {"in_channels": 8, "addition_embed_type": "image_hint"}

CASES = [
    first("KandinskyPipeline", says(**SIZE, **EMBEDS)),
    first("KandinskyImg2ImgPipeline", says(**SQUARE, **EMBEDS, **EDIT)),
    first("KandinskyInpaintPipeline", says(**SQUARE, **EMBEDS, **FILL), lambda: NINE),
    first("KandinskyCombinedPipeline", says(**SIZE, **PRIOR), lambda: {"prior": True}),
    first("KandinskyImg2ImgCombinedPipeline", says(**SQUARE, **PRIOR, **EDIT), lambda: {"prior": True}),
    first(
        "KandinskyInpaintCombinedPipeline", says(**SQUARE, **PRIOR, **FILL), lambda: {**NINE, "prior": True}
    ),
    second("KandinskyV22Pipeline", shows(**SIZE, **EMBEDS)),
    second("KandinskyV22Img2ImgPipeline", shows(**SQUARE, **EMBEDS, **EDIT)),
    second("KandinskyV22InpaintPipeline", shows(**SQUARE, **EMBEDS, **FILL), lambda: NINE),
    second("KandinskyV22ControlnetPipeline", shows(**SIZE, **EMBEDS, **HINT), lambda: HINTED),
    second(
        "KandinskyV22ControlnetImg2ImgPipeline",
        shows(**SQUARE, **EMBEDS, **EDIT, hint=lambda: torch.ones(1, 3, 64, 64)),
        lambda: HINTED,
    ),
    second("KandinskyV22CombinedPipeline", says(**SIZE, **PRIOR), lambda: {"prior": True}),
    second("KandinskyV22Img2ImgCombinedPipeline", says(**SQUARE, **PRIOR, **EDIT), lambda: {"prior": True}),
    second(
        "KandinskyV22InpaintCombinedPipeline",
        says(**SQUARE, **PRIOR, **FILL),
        lambda: {**NINE, "prior": True},
    ),
    third("Kandinsky3Pipeline", says(**SIZE)),
    third("Kandinsky3Img2ImgPipeline", says(**EDIT)),
]

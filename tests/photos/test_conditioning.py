"""What a photo's pass gives the U-Net beside the latent, and which U-Nets ask for more than it can."""

import numpy as np
import pytest
import torch
from PIL import Image

from attnscope import invert_photo, segment
from attnscope.errors import ModelError
from attnscope.photos.conditioning import conditions
from attnscope.photos.latents import photo_latent, photo_tensor
from attnscope.testing.tiny_models import tiny_unet
from photo_cases import sdxl

EMBEDDING, PICTURE_TOKENS = 8, 4


@pytest.fixture
def halves():
    image = Image.new("RGB", (64, 64), "darkgreen")
    image.paste("orange", (0, 0, 64, 40))
    return image


def adapter(unet, seed=0):
    """An IP-Adapter's weights, random, in the layout of its files."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(*shape, generator=generator)

    width = unet.config.cross_attention_dim
    cross = [
        module for path, module in unet.named_modules() if path.endswith("attn2") and hasattr(module, "to_k")
    ]
    layers = {
        f"{2 * number + 1}.{part}.weight": random(module.inner_dim, width)
        for number, module in enumerate(cross)
        for part in ("to_k_ip", "to_v_ip")
    }
    projection = {
        "proj.weight": random(PICTURE_TOKENS * width, EMBEDDING), "proj.bias": random(PICTURE_TOKENS * width),
        "norm.weight": random(width), "norm.bias": random(width),
    }  # fmt: skip
    return {"image_proj": projection, "ip_adapter": layers}


@pytest.mark.parametrize("adapters", [1, 2])
def test_ip_adapters_are_left_out_of_a_photos_pass_and_put_back(pipe, halves, adapters):
    expected = segment(halves, pipe, labels="cat,star")
    own, before = pipe.unet, pipe.unet.config.get("encoder_hid_dim_type")
    pipe.unet = tiny_unet()
    try:
        pipe.unet._load_ip_adapter_weights([adapter(pipe.unet, seed) for seed in range(adapters)])
        pipe.set_ip_adapter_scale([0.7] * adapters)
        kept = {name: vars(each).copy() for name, each in pipe.unet.attn_processors.items()}
        projection = pipe.unet.encoder_hid_proj
        found = segment(halves, pipe, labels="cat,star")
        assert np.array_equal(found.labels, expected.labels)
        assert pipe.unet.encoder_hid_proj is projection
        assert {name: vars(each) for name, each in pipe.unet.attn_processors.items()} == kept
        generator = torch.Generator().manual_seed(0)
        embeds = [torch.randn(2, 1, EMBEDDING, generator=generator)] * adapters
        pipe("a cat", ip_adapter_image_embeds=embeds, num_inference_steps=1, output_type="latent")
    finally:
        pipe.unet = own
    assert pipe.unet.config.get("encoder_hid_dim_type") == before


def test_a_photo_is_segmented_with_xl_and_told_its_own_size(pipe, halves):
    xl = sdxl(pipe)
    found = segment(halves, xl, labels="cat,star")
    assert found.labels.shape == (64, 64)
    latent = photo_latent(xl, photo_tensor(halves, (128, 192)))
    ((embeddings, added),) = conditions(xl, "a cat", latent, torch.device("cpu"))
    expected = xl.encode_prompt("a cat", do_classifier_free_guidance=False)
    assert torch.equal(embeddings, expected[0])
    assert torch.equal(added["text_embeds"], expected[2])
    own = xl._get_add_time_ids((128, 192), (0, 0), (128, 192), torch.float32, text_encoder_projection_dim=8)
    assert torch.equal(added["time_ids"], own)


WRONG = {
    "inpainting": (
        {"in_channels": 9},
        "takes 9 channels where the VAE gives 4, the mask and the masked picture",
    ),
    "InstructPix2Pix": (
        {"in_channels": 8},
        "takes 8 channels where the VAE gives 4, the picture that InstructPix2Pix",
    ),
    "x4 upscaler": (
        {"in_channels": 7, "num_class_embeds": 1000},
        "takes 7 channels .*, the small picture of an upscal",
    ),
    "depth": ({"in_channels": 5}, "takes 5 channels"),
    "class labels": ({"num_class_embeds": 10}, "asks for class labels .*num_class_embeds 10"),
    "unCLIP": (
        {"class_embed_type": "projection", "projection_class_embeddings_input_dim": 8},
        "class_embed_type 'projection'",
    ),
    "Kandinsky": (
        {"addition_embed_type": "image", "encoder_hid_dim": 8},
        "asks for more than a prompt .addition_embed_type 'image'",
    ),
}


@pytest.mark.parametrize(("config", "message"), WRONG.values(), ids=WRONG)
def test_unets_that_ask_for_more_are_refused_with_what_they_ask_for(pipe, halves, config, message):
    parts = {name: part for name, part in pipe.components.items() if name != "unet"}
    other = type(pipe)(**parts, unet=tiny_unet(**config), requires_safety_checker=False)
    with pytest.raises(ModelError, match=message):
        segment(halves, other)


def test_a_vae_that_overflows_is_said(pipe, halves, monkeypatch):
    encode = pipe.vae.encode

    def overflowing(pixels):
        found = encode(pixels)
        found.latent_dist.mean = found.latent_dist.mean * float("inf")
        return found

    monkeypatch.setattr(pipe.vae, "encode", overflowing)
    with pytest.raises(ModelError, match="the VAE of StableDiffusionPipeline overflows in torch.float32"):
        segment(halves, pipe)


def test_a_compiled_unet_is_refused_by_its_cause(pipe, halves):
    own = pipe.unet
    pipe.unet = torch.compile(own, backend="eager")
    try:
        with pytest.raises(Exception, match="is compiled"):
            segment(halves, pipe)
    finally:
        pipe.unet = own


@pytest.mark.thorough
def test_ip_adapters_are_left_out_of_an_inversion_and_of_guidance(pipe, halves):
    options = {"num_inference_steps": 1, "null_text": True, "progress": lambda done, total: None}
    expected = invert_photo(pipe, halves, "a cat", **options)
    own, before = pipe.unet, pipe.unet.config.get("encoder_hid_dim_type")
    pipe.unet = tiny_unet()
    try:
        pipe.unet._load_ip_adapter_weights([adapter(pipe.unet)])
        kept = {name: vars(each).copy() for name, each in pipe.unet.attn_processors.items()}
        found = invert_photo(pipe, halves, "a cat", **options)
        assert {name: vars(each) for name, each in pipe.unet.attn_processors.items()} == kept
        assert (found.latents - expected.latents).abs().max() < 1e-3
        moved = (found.null_embeddings - expected.null_embeddings).abs()
        assert moved.mean() < 0.01  # 0.08 with them; Adam steps as far where a gradient is only rounding
        pictures = [np.asarray(each.picture(pipe)).astype(int) for each in (found, expected)]
        assert abs(pictures[0] - pictures[1]).mean() < 0.5  # of 255
    finally:
        pipe.unet = own
    assert pipe.unet.config.get("encoder_hid_dim_type") == before

"""Sound: the U-Net draws a spectrogram."""

from __future__ import annotations

from typing import Any

import diffusers
from transformers import (
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    ClapTextConfig,
    ClapTextModelWithProjection,
    GPT2Config,
    GPT2LMHeadModel,
    SpeechT5HifiGan,
    SpeechT5HifiGanConfig,
)  # fmt: skip

from compatibility.case import NEGATIVE, PROMPT, Case
from compatibility.parts import SMALL, WIDE, generator, pixels, scheduler, sharp, unet, vae
from compatibility.parts_text import roberta_tokenizer, t5_encoder, t5_tokenizer

GROUP = "Sound"


def _vocoder() -> Any:
    config = SpeechT5HifiGanConfig(
        model_in_dim=8,
        sampling_rate=16000,
        upsample_initial_channel=16,
        upsample_rates=[2, 2],
        upsample_kernel_sizes=[4, 4],
        resblock_kernel_sizes=[3, 7],
        resblock_dilation_sizes=[[1, 3, 5], [1, 3, 5]],
        normalize_before=False,
    )
    return SpeechT5HifiGan(config).eval()


def _codes() -> Any:
    return vae(
        in_channels=1, out_channels=1, block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip


TEXT = {
    "hidden_size": 8, "intermediate_size": 16, "num_attention_heads": 1, "num_hidden_layers": 1, "pad_token_id": 1,
    "projection_dim": 8,
}  # fmt: skip
AUDIO = {
    "spec_size": 8, "window_size": 4, "num_mel_bins": 8, "intermediate_size": 37, "depths": [1, 1],
    "num_attention_heads": [1, 1], "num_hidden_layers": 1, "hidden_size": 192, "projection_dim": 8, "patch_size": 2,
    "patch_stride": 2, "patch_embed_input_channels": 4,
}  # fmt: skip


def _clap(known: Any) -> Any:
    text = {**TEXT, "vocab_size": len(known)}
    return ClapModel(ClapConfig(text_config=text, audio_config=AUDIO, projection_dim=8)).eval()


def _class_unet() -> Any:
    """Reads the text as a class: its attn2 looks at the places, too."""
    return unet(
        cross_attention_dim=(8, 16), class_embed_type="simple_projection", projection_class_embeddings_input_dim=8,
        class_embeddings_concat=True,
    )  # fmt: skip


def _first() -> Any:
    text = ClapTextModelWithProjection(ClapTextConfig(**{**TEXT, "vocab_size": len(roberta_tokenizer())}))
    return diffusers.AudioLDMPipeline(
        vae=_codes(), text_encoder=text.eval(), tokenizer=roberta_tokenizer(), unet=_class_unet(), vocoder=_vocoder(),
        scheduler=scheduler(clip_sample=False),
    )  # fmt: skip


def _music() -> Any:
    text = _clap(roberta_tokenizer())
    features = text.get_text_features
    vars(text)["get_text_features"] = lambda *args, **options: (
        features(*args, **options).pooler_output
    )  # as before transformers 5
    return diffusers.MusicLDMPipeline(
        vae=_codes(), text_encoder=text, tokenizer=roberta_tokenizer(), unet=_class_unet(), vocoder=_vocoder(),
        feature_extractor=ClapFeatureExtractor(hop_length=7900), scheduler=scheduler(clip_sample=False),
    )  # fmt: skip


def _second() -> Any:
    from diffusers.pipelines.audioldm2.modeling_audioldm2 import (
        AudioLDM2ProjectionModel,
        AudioLDM2UNet2DConditionModel,
    )

    config = GPT2Config(n_embd=WIDE, n_head=1, n_layer=1, vocab_size=200, n_ctx=99, n_positions=99)
    language = GPT2LMHeadModel(config).eval()
    language.config.max_new_tokens = 8
    model = AudioLDM2UNet2DConditionModel(
        **{**SMALL, "cross_attention_dim": (WIDE, WIDE), "attention_head_dim": 4}
    )
    return diffusers.AudioLDM2Pipeline(
        vae=_codes(), text_encoder=_clap(t5_tokenizer()), text_encoder_2=t5_encoder(), tokenizer=t5_tokenizer(),
        tokenizer_2=t5_tokenizer(), feature_extractor=ClapFeatureExtractor(hop_length=7900), language_model=language,
        projection_model=AudioLDM2ProjectionModel(8, WIDE, WIDE), unet=sharp(model), vocoder=_vocoder(),
        scheduler=scheduler(clip_sample=False),
    )  # fmt: skip


def _sounds(pipe: Any) -> Any:
    length = 0.016
    settings = {
        "num_inference_steps": 2,
        "audio_length_in_s": length,
        "generator": generator(),
        "guidance_scale": 3.0,
    }
    return pixels(pipe(PROMPT, negative_prompt=NEGATIVE, **settings))


CASES = [
    Case("AudioLDMPipeline", GROUP, _first, _sounds, word=None, tokens=()),
    Case("MusicLDMPipeline", GROUP, _music, _sounds, word=None, tokens=()),
    Case("AudioLDM2Pipeline", GROUP, _second, _sounds, word=0, tokens=(0,)),
]

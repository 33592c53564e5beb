"""U-Nets that read no text: pictures from noise alone, and sound."""

from __future__ import annotations

from typing import Any

import diffusers

from compatibility.case import Case
from compatibility.parts import generator, mask, picture, pixels, sharp

GROUP = "Without a text"
NO_WORDS: dict[str, Any] = {"branches": None, "word": None, "tokens": ()}


def model(**changes: Any) -> Any:
    """A U-Net whose coarse level has attention.

    Args:
        **changes: Options of UNet2DModel to change.
    """
    settings = {
        "sample_size": (16, 24), "block_out_channels": (8, 16), "norm_num_groups": 4, "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": 4,
    }  # fmt: skip
    return sharp(diffusers.UNet2DModel(**{**settings, **changes}))


def square() -> Any:
    """For pipelines that know one side only."""
    return model(sample_size=16)


def draws(**options: Any) -> Any:
    """A call of a pipeline without a prompt."""

    def run(pipe: Any) -> Any:
        given = {name: value() if callable(value) else value for name, value in options.items()}
        return pixels(
            pipe(**{"num_inference_steps": 2, "output_type": "np", "generator": generator(), **given})
        )

    return run


def plain(name: str, of_scheduler: Any, run: Any, unet: Any = model, **truth: Any) -> Case:
    """A case of a pipeline with a U-Net and a scheduler."""
    build = lambda: getattr(diffusers, name)(unet=unet(), scheduler=of_scheduler())  # noqa: E731
    return Case(name, GROUP, build, run, **{**NO_WORDS, **truth})


def _latent(kind: Any) -> Any:
    codes = diffusers.VQModel(
        block_out_channels=(4, 8), norm_num_groups=2, latent_channels=3, down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, num_vq_embeddings=16, layers_per_block=1,
    )  # fmt: skip
    return codes.eval()


def _ldm() -> Any:
    return diffusers.LDMPipeline(
        vqvae=_latent(None), unet=model(sample_size=8), scheduler=diffusers.DDIMScheduler()
    )


def _ldm_larger() -> Any:
    return diffusers.LDMSuperResolutionPipeline(
        vqvae=_latent(None),
        unet=model(in_channels=6, out_channels=3, sample_size=8),
        scheduler=diffusers.DDIMScheduler(),
    )


def _dance() -> Any:
    unet = diffusers.UNet1DModel(
        block_out_channels=(16, 16, 16), extra_in_channels=32, sample_size=512, sample_rate=16_000, in_channels=2,
        out_channels=2, flip_sin_to_cos=True, use_timestep_embedding=False, time_embedding_type="fourier",
        mid_block_type="UNetMidBlock1D", down_block_types=("DownBlock1DNoSkip", "DownBlock1D", "AttnDownBlock1D"),
        up_block_types=("AttnUpBlock1D", "UpBlock1D", "UpBlock1DNoSkip"),
    )  # fmt: skip
    return diffusers.DanceDiffusionPipeline(unet=unet.eval(), scheduler=diffusers.IPNDMScheduler())


def _sounds(pipe: Any) -> Any:
    return pixels(pipe(num_inference_steps=2, generator=generator()))


def _repaint(pipe: Any) -> Any:
    chosen = {"image": picture(32, 64), "mask_image": mask(32, 64), "jump_length": 1, "jump_n_sample": 1}
    return draws(**chosen)(pipe)


def _karras() -> Any:
    return diffusers.KarrasVeScheduler()


CASES = [
    plain("DDPMPipeline", diffusers.DDPMScheduler, draws()),
    plain("DDIMPipeline", diffusers.DDIMScheduler, draws(batch_size=2), images=2),
    plain(
        "PNDMPipeline", lambda: diffusers.PNDMScheduler(skip_prk_steps=True), draws(), unet=square, steps=3
    ),
    plain("ScoreSdeVePipeline", diffusers.ScoreSdeVeScheduler, draws(), unet=square),
    plain("KarrasVePipeline", _karras, draws(), unet=square),
    plain("RePaintPipeline", diffusers.RePaintScheduler, _repaint),
    plain(
        "ConsistencyModelPipeline",
        lambda: diffusers.CMStochasticIterativeScheduler(num_train_timesteps=40),
        draws(num_inference_steps=2),
        unet=square,
    ),
    Case("LDMPipeline", GROUP, _ldm, draws(), **NO_WORDS),
    Case("LDMSuperResolutionPipeline", GROUP, _ldm_larger, draws(image=lambda: picture(32, 64)), **NO_WORDS),
    Case("DanceDiffusionPipeline", GROUP, _dance, _sounds, **NO_WORDS),
]

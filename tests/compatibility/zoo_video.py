"""Video: several frames in one run."""

from __future__ import annotations

from typing import Any

import diffusers

from compatibility.case import Case
from compatibility.parts import (
    WIDE,
    bare,
    controlnet,
    image_encoder,
    image_processor,
    picture,
    sharp,
    stable_diffusion_xl,
    text_encoder,
    unet,
)  # fmt: skip
from compatibility.zoo_stable_diffusion import asks, case, sized

GROUP = "Video"
FRAMES = 3


def video(name: str, run: Any, **truth: Any) -> Case:
    """A case of this table: each frame is an image."""
    return case(name, run, **{"group": GROUP, "make": bare, "images": FRAMES, **truth})


def clip() -> list[Any]:
    """Frames to begin from."""
    return [picture(seed=frame) for frame in range(FRAMES)]


def motion(**more: Any) -> dict[str, Any]:
    """AnimateDiff's motion modules."""
    return {
        "motion_adapter": diffusers.MotionAdapter(
            block_out_channels=(8, 16),
            motion_layers_per_block=1,
            motion_norm_num_groups=2,
            motion_num_attention_heads=2,
            motion_max_seq_length=8,
            use_motion_mid_block=True,
            **more,
        )
    }


def _sparse() -> dict[str, Any]:
    control = diffusers.SparseControlNetModel(
        block_out_channels=(8, 16),
        layers_per_block=1,
        conditioning_channels=3,
        cross_attention_dim=WIDE,
        norm_num_groups=2,
        down_block_types=("CrossAttnDownBlockMotion", "DownBlockMotion"),
        attention_head_dim=2,
        conditioning_embedding_out_channels=(4, 8, 8, 8),
        use_simplified_condition_embedding=False,
    )
    return {**motion(), "controlnet": control.eval()}


def _motion_xl() -> dict[str, Any]:
    return motion()


def _pia() -> dict[str, Any]:
    return {**motion(conv_in_channels=9), "unet": unet()}


def _three_dimensional(kind: Any, **more: Any) -> Any:
    return sharp(
        kind(
            sample_size=8,
            block_out_channels=(8, 16),
            norm_num_groups=2,
            layers_per_block=1,
            cross_attention_dim=WIDE,
            down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
            up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
            **more,
        )
    )


def _text_to_video() -> dict[str, Any]:
    return {"unet": _three_dimensional(diffusers.UNet3DConditionModel, attention_head_dim=4)}


def _i2vgen(kind: Any) -> Any:
    model = _three_dimensional(diffusers.models.unets.unet_i2vgen_xl.I2VGenXLUNet, attention_head_dim=4)
    text = text_encoder()
    vars(text)["text_model"] = text  # the name that it had before transformers 5
    return bare(
        kind,
        unet=model,
        text_encoder=text,
        image_encoder=image_encoder(),
        feature_extractor=image_processor(),
    )


def _stable_video(kind: Any) -> Any:
    model = diffusers.UNetSpatioTemporalConditionModel(
        sample_size=8, block_out_channels=(32, 32), layers_per_block=1, in_channels=8, out_channels=4,
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"), cross_attention_dim=WIDE,
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"), num_attention_heads=2,
        projection_class_embeddings_input_dim=24, addition_time_embed_dim=8,
    )  # fmt: skip
    decoder = diffusers.AutoencoderKLTemporalDecoder(
        block_out_channels=(32, 32, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 4,
        latent_channels=4,
        layers_per_block=1,
    )
    return kind(
        vae=decoder.eval(),
        image_encoder=image_encoder(size=224, patch=56),
        unet=sharp(model),
        feature_extractor=image_processor(),
        scheduler=diffusers.EulerDiscreteScheduler(
            timestep_type="continuous",
            prediction_type="v_prediction",
            use_karras_sigmas=True,
            sigma_min=0.002,
            sigma_max=700.0,
        ),
    )


def first_frame(key: Any, path: str) -> Any:
    """Every frame looks at the first one's keys."""
    if not path.endswith("attn1"):
        return key
    of_branch = key.unflatten(0, (2, -1))
    return of_branch[:, :1].expand_as(of_branch).flatten(0, 1)


def _zero_rows(call: int) -> Any:
    frames = 1 if call < 2 else 2
    return tuple((branch, frame) for branch in ("uncond", "cond") for frame in range(frames))


ZERO = {"num_inference_steps": 3, "t0": 0, "t1": 1, "video_length": 2}
ZERO_TRUTH = {"steps": 3, "rows": _zero_rows, "keys": first_frame, "mains": lambda count: [0, 1, 3]}
IN_FRAMES = {"num_frames": FRAMES}

CASES = [
    video("AnimateDiffPipeline", sized(**IN_FRAMES), parts=motion),
    video(
        "AnimateDiffControlNetPipeline",
        sized(**IN_FRAMES, conditioning_frames=clip),
        parts=lambda: {**motion(), "controlnet": controlnet()},
    ),
    video(
        "AnimateDiffSparseControlNetPipeline",
        sized(**IN_FRAMES, conditioning_frames=clip, controlnet_frame_indices=lambda: [0, 1, 2]),
        parts=_sparse,
    ),
    video("AnimateDiffSDXLPipeline", sized(**IN_FRAMES), parts=_motion_xl, make=stable_diffusion_xl),
    video("AnimateDiffVideoToVideoPipeline", sized(video=clip, strength=1.0), parts=motion),
    video(
        "AnimateDiffVideoToVideoControlNetPipeline",
        sized(video=clip, conditioning_frames=clip, strength=1.0),
        parts=lambda: {**motion(), "controlnet": controlnet()},
    ),
    video(
        "AnimateDiffPAGPipeline",
        sized(**IN_FRAMES),
        parts=motion,
        branches=("uncond", "cond", "perturbed"),
        rows_apart=True,
    ),
    video("PIAPipeline", sized(**IN_FRAMES, image=picture), parts=_pia),
    video("TextToVideoSDPipeline", sized(**IN_FRAMES), parts=_text_to_video),
    video("VideoToVideoSDPipeline", asks(video=clip, strength=1.0), parts=_text_to_video),
    video(
        "TextToVideoZeroPipeline",
        sized(**ZERO),
        parts=lambda: {"safety_checker": None, "feature_extractor": None},
        **ZERO_TRUTH,
    ),
    video("TextToVideoZeroSDXLPipeline", sized(**ZERO), make=stable_diffusion_xl, **ZERO_TRUTH),
    video("I2VGenXLPipeline", sized(**IN_FRAMES, image=picture), make=_i2vgen),
    video(
        "StableVideoDiffusionPipeline",
        sized(None, **IN_FRAMES, image=picture, negative_prompt="default"),
        make=_stable_video,
        word=0,
        tokens=(0,),
    ),
]

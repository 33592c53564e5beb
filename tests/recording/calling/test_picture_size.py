"""Labels and maps have the picture's size, whatever a latent place is; or they are refused."""

import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, LDMPipeline, UNet2DModel, VQModel

import attnscope
from attnscope.errors import SelectionError
from attnscope.testing.made_traces import made_trace


def small_unet(channels):
    torch.manual_seed(0)
    return UNet2DModel(
        sample_size=16, in_channels=channels, out_channels=channels, block_out_channels=(32, 64),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip


def test_a_place_of_a_pixel_model_is_a_pixel():
    pipe = DDPMPipeline(small_unet(3), DDPMScheduler())
    pipe.set_progress_bar_config(disable=True)
    with attnscope.capture(pipe) as trace:
        (picture,) = pipe(num_inference_steps=2).images
    assert trace.run.image_size_hw == (16, 16) == picture.size
    assert attnscope.segment(trace).labels.shape == (16, 16)


def test_a_vq_model_says_its_factor():
    vq = VQModel(
        block_out_channels=(32, 64), layers_per_block=1, down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=3,
    )  # fmt: skip
    pipe = LDMPipeline(vq, small_unet(3), DDPMScheduler())
    pipe.set_progress_bar_config(disable=True)
    with attnscope.capture(pipe) as trace:
        (picture,) = pipe(num_inference_steps=2).images
    assert trace.run.image_size_hw == (32, 32) == picture.size


def test_views_of_a_larger_picture_are_not_drawn_over_it():
    trace = made_trace()
    rows, columns = trace.run.latent_size_hw
    trace.run.image_size_hw = (8 * rows, 16 * columns)
    for ask in (lambda: attnscope.heat_map(trace, "cat"), lambda: attnscope.segment(trace)):
        with pytest.raises(SelectionError, match="which is not the shape of the"):
            ask()
    trace.run.image_size_hw = (8 * rows - 3, 8 * columns + 4)  # cropped to a photo's own size
    attnscope.heat_map(trace, "cat")

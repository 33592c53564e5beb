"""A diffusers pipeline's weights under the names of the original Stable Diffusion v1 checkpoint file."""

from __future__ import annotations

import re
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

_RESNET = [
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("time_emb_proj", "emb_layers.1"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("conv_shortcut", "skip_connection"),
]
_VAE_ATTENTION = [
    ("group_norm", "norm"),
    ("to_q", "q"),
    ("to_k", "k"),
    ("to_v", "v"),
    ("to_out.0", "proj_out"),
]
_UNET_ENDS = [
    ("time_embedding.linear_1", "time_embed.0"),
    ("time_embedding.linear_2", "time_embed.2"),
    ("conv_in", "input_blocks.0.0"),
    ("conv_norm_out", "out.0"),
    ("conv_out", "out.2"),
]


def save_as_single_file(pipe, path: Path) -> Path:
    """Write U-Net, VAE and text encoder into one file, as the releases of Stable Diffusion v1 were."""
    units = pipe.unet.config.layers_per_block
    levels = len(pipe.vae.config.block_out_channels)
    text = {
        name.removeprefix("text_model."): tensor for name, tensor in pipe.text_encoder.state_dict().items()
    }
    tensors: dict[str, Tensor] = {}
    for name, tensor in pipe.unet.state_dict().items():
        tensors[f"model.diffusion_model.{_unet_name(name, units)}"] = tensor
    for name, tensor in pipe.vae.state_dict().items():
        is_linear = "attentions" in name and tensor.ndim == 2  # the original has 1x1 convolutions there
        tensors[f"first_stage_model.{_vae_name(name, levels)}"] = (
            tensor[:, :, None, None] if is_linear else tensor
        )
    for name, tensor in text.items():
        tensors[f"cond_stage_model.transformer.text_model.{name}"] = tensor
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


def _unet_name(name: str, units: int) -> str:
    for ours, theirs in _UNET_ENDS:
        if name.startswith(f"{ours}."):
            return name.replace(ours, theirs, 1)
    if match := re.match(r"down_blocks\.(\d+)\.(resnets|attentions|downsamplers)\.(\d+)\.(.*)", name):
        block, part, unit, rest = int(match[1]), match[2], int(match[3]), match[4]
        if part == "downsamplers":
            return f"input_blocks.{(units + 1) * (block + 1)}.0.{rest.replace('conv', 'op')}"
        return f"input_blocks.{(units + 1) * block + unit + 1}.{int(part == 'attentions')}.{_resnet(rest)}"
    if match := re.match(r"mid_block\.(resnets|attentions)\.(\d+)\.(.*)", name):
        position = 2 * int(match[2]) if match[1] == "resnets" else 1
        return f"middle_block.{position}.{_resnet(match[3])}"
    match = re.match(r"up_blocks\.(\d+)\.(resnets|attentions|upsamplers)\.(\d+)\.(.*)", name)
    assert match is not None, name
    block, part, unit, rest = int(match[1]), match[2], int(match[3]), match[4]
    if part == "upsamplers":  # it stands behind the last unit: in place 1 without attention, 2 with it
        return f"output_blocks.{(units + 1) * block + units}.{1 if block == 0 else 2}.{rest}"
    return f"output_blocks.{(units + 1) * block + unit}.{int(part == 'attentions')}.{_resnet(rest)}"


def _resnet(name: str) -> str:
    for ours, theirs in _RESNET:
        if name.startswith(f"{ours}."):
            return name.replace(ours, theirs, 1)
    return name


def _vae_name(name: str, levels: int) -> str:
    name = name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda match: f"mid.block_{int(match[1]) + 1}", name)
    if "mid_block.attentions.0." in name:
        for ours, theirs in _VAE_ATTENTION:
            name = name.replace(f"mid_block.attentions.0.{ours}.", f"mid.attn_1.{theirs}.")
    name = re.sub(r"down_blocks\.(\d)\.resnets\.", r"down.\1.block.", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(
        r"up_blocks\.(\d)\.resnets\.", lambda match: f"up.{levels - 1 - int(match[1])}.block.", name
    )
    return re.sub(
        r"up_blocks\.(\d)\.upsamplers\.0", lambda match: f"up.{levels - 1 - int(match[1])}.upsample", name
    )

"""A model's configuration, found from a name, a folder, a config.json, a mapping, a U-Net or a pipeline."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnscope.atlas.known import CLIP_TOKENS, DEMO_FOLDER, HUB_NAMES, NAMES, PIXELS_PER_LATENT, UNETS
from attnscope.errors import ModelError, nearest

MAX_CONFIG_BYTES = 1_000_000  # a U-Net's config.json has about 2 kB


@dataclass(frozen=True)
class ModelFacts:
    """What the atlas needs to know of a model.

    Attributes:
        name: The model's name, for messages.
        unet: The configuration of its U-Net.
        pixels_per_latent: Pixels along each side of a latent position.
        tokens: Tokens that a prompt is padded to.
    """

    name: str
    unet: Mapping[str, Any]
    pixels_per_latent: int = PIXELS_PER_LATENT
    tokens: int = CLIP_TOKENS

    @property
    def native_size(self) -> tuple[int, int]:
        """Picture (height, width) in pixels that the model was trained for.

        Raises:
            ModelError: The configuration has no usable sample_size.
        """
        sample = self.unet.get("sample_size")
        sides = (sample, sample) if isinstance(sample, int) else tuple(sample or ())
        if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
            raise ModelError(
                f"the configuration of {self.name} has sample_size={sample!r}, so no native size; "
                "give size=(height, width) in pixels"
            )
        return sides[0] * self.pixels_per_latent, sides[1] * self.pixels_per_latent


def model_facts(model: Any) -> ModelFacts:
    """The configuration of a model, from whatever names it.

    Args:
        model: A built-in name, a hub id of Stable Diffusion v1 or v2, a folder, a config.json, a mapping, a U-Net
            or a pipeline.

    Raises:
        ModelError: `model` is none of these, or has no U-Net.

    Cost: at most three small JSON files are read. Neither weights nor torch are loaded.
    """
    if isinstance(model, str) and model in UNETS:
        return ModelFacts(model, UNETS[model])
    if isinstance(model, str) and model in HUB_NAMES and not Path(model).exists():
        return ModelFacts(model, UNETS[HUB_NAMES[model]])
    if isinstance(model, (str, os.PathLike)):
        return _from_path(DEMO_FOLDER if model == "demo" else Path(model))
    if isinstance(model, Mapping):
        return ModelFacts("this configuration", model)
    return _from_object(model)


def _from_object(model: Any) -> ModelFacts:
    name = type(model).__name__
    if isinstance(getattr(getattr(model, "unet", None), "config", None), Mapping):
        length = getattr(getattr(model, "tokenizer", None), "model_max_length", CLIP_TOKENS)
        return ModelFacts(
            name,
            model.unet.config,
            getattr(model, "vae_scale_factor", PIXELS_PER_LATENT),
            _text_length(length),
        )
    config = getattr(model, "config", None)
    if isinstance(config, Mapping) and "down_block_types" in config:
        return ModelFacts(name, config)
    raise ModelError(
        f"{name} has no U-Net; expected a pipeline with .unet, a UNet2DConditionModel, a configuration, "
        f"a folder, or one of {', '.join(NAMES)}"
    )


def _from_path(path: Path) -> ModelFacts:
    if path.is_file():
        return ModelFacts(str(path), _read_config(path))
    if (path / "unet" / "config.json").is_file():
        vae = _read_config(path / "vae" / "config.json", optional=True)
        text = _read_config(path / "text_encoder" / "config.json", optional=True)
        levels = vae.get("block_out_channels")
        return ModelFacts(
            str(path),
            _read_config(path / "unet" / "config.json"),
            2 ** (len(levels) - 1) if isinstance(levels, list) else PIXELS_PER_LATENT,
            _text_length(text.get("max_position_embeddings")),
        )
    if (path / "config.json").is_file():
        return ModelFacts(str(path), _read_config(path / "config.json"))
    if path.is_dir():
        raise ModelError(
            f"the folder {path} has neither unet/config.json nor config.json, so it is no diffusers model"
        )
    raise ModelError(
        f"no model {str(path)!r}: neither a file, a folder nor a built-in name; nearest names: "
        f"{nearest(str(path), (*NAMES, *HUB_NAMES))}. Of any other hub model give its unet/config.json"
    )


def _text_length(length: object) -> int:
    """Tokens that a prompt is padded to; some tokenizers say 10**30 for "no limit"."""
    return length if isinstance(length, int) and 0 < length < 10**6 else CLIP_TOKENS


def _read_config(path: Path, *, optional: bool = False) -> dict[str, Any]:
    if optional and not path.is_file():
        return {}
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ModelError(
                f"{path} is larger than {MAX_CONFIG_BYTES} bytes, so it is no model configuration"
            )
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"the configuration {path} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"{path} is no JSON configuration; give a U-Net's config.json or a model folder"
        ) from error
    if not isinstance(config, dict):
        raise ModelError(
            f"{path} holds a {type(config).__name__}, expected a JSON object with a U-Net's configuration"
        )
    return config

"""A model's family and configuration, found from a name, a folder, a config.json, a mapping, a model or a pipeline."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnscope.atlas.config_files import cached_folder, read_config
from attnscope.atlas.families import FAMILIES, UNET, Config, Family, unwrapped
from attnscope.atlas.known import DEMO_FOLDER, HUB_MODELS, MODELS, NAMES
from attnscope.errors import ModelError, ParameterError, nearest
from attnscope.records import Grid

_COMPONENTS = tuple(dict.fromkeys(family.component for family in (UNET, *FAMILIES)))
_LONGEST_TEXT = 100_000  # tokens; some tokenizers say 10**30 for "no limit"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


_SCALES = ("vae_scale_factor", "vae_scale_factor_spatial", "vae_spatial_compression_ratio")
"""What pipelines call the pixels along each side of a latent position."""


@dataclass(frozen=True)
class ModelFacts:
    """What the atlas needs to know of a model.

    Attributes:
        name: The model's name, for messages.
        family: How it is built.
        config: Its configuration.
        pixels_per_latent: Pixels along each side of a latent position.
        tokens: Tokens that a prompt is padded to; None: as the family and the pipeline say.
        pipeline: Class of its pipeline, '' where that is not known.
    """

    name: str
    family: Family
    config: Config
    pixels_per_latent: int
    tokens: int | None = None
    pipeline: str = ""

    @property
    def native_size(self) -> tuple[int, int]:
        """Picture (height, width) in pixels that the model was trained for.

        Raises:
            ModelError: The configuration has no usable sample_size.
        """
        sides = self.family.native_latent(self.config)
        if sides is None or not all(isinstance(side, int) and side > 0 for side in sides):
            raise ModelError(
                f"the configuration of {self.name} has sample_size={self.config.get('sample_size')!r}, so no native "
                "size; give size=(height, width) in pixels"
            )
        return sides[0] * self.pixels_per_latent, sides[1] * self.pixels_per_latent

    def latent(self, size: tuple[int, int] | None) -> Grid:
        """Height and width of the latent for a picture.

        Args:
            size: Picture (height, width) in pixels. None: the model's native size.

        Raises:
            ParameterError: A side is no multiple of the pixels in a place.
            ModelError: No size is given, and the configuration has none.
        """
        height, width = self.native_size if size is None else size
        step = self.pixels_per_latent * self.family.patch(self.config)
        if size is None and (height % step or width % step):
            raise ModelError(
                f"the configuration of {self.name} is made for {height}x{width} pixels, which is not a "
                f"multiple of {step}; give size=(height, width)"
            )
        for name, side in (("height", height), ("width", width)):
            if not isinstance(side, int) or side < step or side % step:
                raise ParameterError(
                    f"{name}={side!r} of size={size!r}: expected a multiple of {step} pixels, {step} or more"
                )
        return Grid(height // self.pixels_per_latent, width // self.pixels_per_latent)


def model_facts(model: Any) -> ModelFacts:
    """The family and the configuration of a model, from whatever names it.

    Args:
        model: A built-in name, a hub id that is known or in the local cache, a folder, a config.json, a mapping, a
            model or a pipeline.

    Raises:
        ModelError: `model` is none of these, or of a class that no family takes.

    Cost: a few small JSON files are read. Neither weights nor torch are loaded.
    """
    if isinstance(model, str) and model in MODELS:
        return _known(model, *MODELS[model])
    if isinstance(model, str) and model in HUB_MODELS and not Path(model).exists():
        return _known(model, *HUB_MODELS[model])
    if isinstance(model, (str, os.PathLike)):
        return _from_path(DEMO_FOLDER if model == "demo" else Path(model), os.fspath(model))
    if isinstance(model, Mapping):
        return _of_config("this configuration", model)
    return _from_object(model)


def _known(name: str, family: Family, known: Any, pipeline: str) -> ModelFacts:
    return ModelFacts(name, family, known.config, family.pixels_per_latent, pipeline=pipeline)


def _of_config(name: str, config: Config) -> ModelFacts:
    """By the class that a configuration names; older ones of U-Nets name none."""
    if "_class_name" not in config and "down_block_types" not in config:
        raise ModelError(
            f"{name} names neither its class (_class_name) nor down_block_types, so its model is unknown: "
            "give the config.json that was saved with the model, or the model itself"
        )
    family = next((family for family in FAMILIES if family.takes(config)), None)
    if family is None:
        raise _of_no_family(name, str(config.get("_class_name")))
    return ModelFacts(name, family, config, family.pixels_per_latent)


def _of_no_family(name: str, class_name: str) -> ModelError:
    families = ", ".join(family.name for family in (UNET, *FAMILIES[:-1]))
    return ModelError(
        f"{name} is a {class_name}, which no family of models takes ({families}); docs/adding-a-model.md shows how one "
        "is described in a file"
    )


def _from_object(model: Any) -> ModelFacts:
    name = type(model).__name__
    for component in _COMPONENTS:
        part = unwrapped(getattr(model, component, None))
        if isinstance(getattr(part, "config", None), Mapping):
            return _of_pipeline(name, model, part, component)
    inner = unwrapped(model)
    config = getattr(inner, "config", None)
    family = _family_of(inner)
    if family is not None and isinstance(config, Mapping):
        return ModelFacts(name, family, config, family.pixels_per_latent)
    if isinstance(config, Mapping) and hasattr(model, "named_modules"):
        raise _of_no_family("this model", type(inner).__name__)
    raise ModelError(
        f"{name} has no U-Net and no transformer; expected a pipeline with .{' or .'.join(_COMPONENTS)}, a model, a "
        f"configuration, a folder, or one of {', '.join(NAMES)}"
    )


def _family_of(model: Any) -> Family | None:
    """A module's family. U-Nets are known by their configuration."""
    has_down_blocks = "down_block_types" in (getattr(model, "config", None) or ())
    families = (family for family in FAMILIES if family is not UNET or has_down_blocks)
    return next((family for family in families if family.is_of(model)), None)


def _of_pipeline(name: str, pipe: Any, part: Any, component: str) -> ModelFacts:
    family = UNET if component == UNET.component else _family_of(part)
    if family is None:
        raise _of_no_family(f"the {component} of this {name}", type(part).__name__)
    tokens = getattr(getattr(pipe, "tokenizer", None), "model_max_length", None)
    parents = (parent.__name__ for parent in type(pipe).__mro__)
    return ModelFacts(
        name,
        family,
        part.config,
        next((getattr(pipe, name) for name in _SCALES if hasattr(pipe, name)), family.pixels_per_latent),
        _text_length(tokens) if family is UNET else None,
        next((parent for parent in parents if parent in family.pipelines), ""),
    )


def _from_path(path: Path, name: str) -> ModelFacts:
    if path.is_file():
        return _of_config(str(path), read_config(path))
    if path.is_dir():
        return _from_folder(path, str(path))
    is_hub_id = _HUB_ID.fullmatch(name) is not None
    if is_hub_id and (cached := cached_folder(name, _COMPONENTS)) is not None:
        return _from_folder(cached, name)
    raise ModelError(
        f"no model {name!r}: neither a file, a folder, a built-in name nor a hub id in the local cache; "
        f"nearest names: {nearest(name, (*NAMES, *HUB_MODELS), otherwise=NAMES)}. For any other hub model "
        f"give its {' or '.join(f'{part}/config.json' for part in _COMPONENTS)}"
    )


def _from_folder(folder: Path, name: str) -> ModelFacts:
    for component in _COMPONENTS:
        if (folder / component / "config.json").is_file():
            return _of_pipeline_folder(folder, component, name)
    if (folder / "config.json").is_file():
        return _of_config(name, read_config(folder / "config.json"))
    files = ", ".join(f"{part}/config.json" for part in _COMPONENTS)
    raise ModelError(
        f"the folder {folder} has neither {files} nor config.json, so it is not a diffusers model"
    )


def _of_pipeline_folder(folder: Path, component: str, name: str) -> ModelFacts:
    facts = _of_config(name, read_config(folder / component / "config.json"))
    family = facts.family
    text = read_config(folder / "text_encoder" / "config.json", optional=True)
    pipeline = read_config(folder / "model_index.json", optional=True).get("_class_name", "")
    vae = read_config(folder / "vae" / "config.json", optional=True)
    levels = vae.get("block_out_channels", vae.get("encoder_block_out_channels"))
    return ModelFacts(
        name,
        family,
        facts.config,
        2 ** (len(levels) - 1) if isinstance(levels, list) and levels else family.pixels_per_latent,
        _text_length(text.get("max_position_embeddings")) if family is UNET else None,
        pipeline if isinstance(pipeline, str) else "",
    )


def _text_length(length: object) -> int | None:
    """Tokens that a prompt is padded to, None if that is not said."""
    return length if isinstance(length, int) and 0 < length < _LONGEST_TEXT else None

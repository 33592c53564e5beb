"""U-Nets: Stable Diffusion v1, v2, XL and their like, spatial transformers in down, mid and up blocks."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from attnscope.atlas.families.family import Attended, RowsBy, Sides, TextPart
from attnscope.atlas.families.latents import Latents, scaled_by_xl
from attnscope.atlas.families.planning import Config, Known, Setting, both_sides
from attnscope.atlas.families.unet_names import KNOWN
from attnscope.atlas.order import LayerPlace, execution_order
from attnscope.atlas.plan import plan_unet
from attnscope.records import Grid, Kind, Layer
from attnscope.records.layers import SizeHW

CLIP_TOKENS = 77  # every Stable Diffusion pads its prompt to this length

_IN_BLOCKS = re.compile(r"\b(down_blocks|mid_block|up_blocks)\b")
_OVER_TIME = re.compile(r"\b(motion_modules|temp_attentions|temporal_transformer_blocks|transformer_in)\b")


class UNetFamily:
    """All U-Nets of diffusers: their modules have the same names, and feature maps tell the grids."""

    name = "U-Net"
    component = "unet"
    later_component = ""
    arguments = ("sample", "timestep", "encoder_hidden_states")
    positions: tuple[str, ...] = ()
    texts: tuple[TextPart, ...] = (TextPart("context", ("tokenizer", "tokenizer_2")),)
    pipelines: Mapping[str, RowsBy] = {}
    left_out: Mapping[str, str] = {}
    latents = Latents(scaled_by_xl)
    unguided = 1.0
    known: Mapping[str, Known] = KNOWN
    pixels_per_latent = 8  # the VAE of every Stable Diffusion (v1, v2, XL) divides height and width by it

    def label(self, config: Config) -> str:
        """'sd1', 'sd2' or 'sdxl' by what the U-Net is conditioned on, and 'unet' for the others.

        Args:
            config: The model's configuration.
        """
        if config.get("addition_embed_type") == "text_time":
            return "sdxl"
        if config.get("addition_embed_type") is not None or config.get("encoder_hid_dim") is not None:
            return "unet"
        return {768: "sd1", 1024: "sd2"}.get(config.get("cross_attention_dim", 0), "unet")

    def closed_to_words(self, config: Config, kinds: Collection[Kind]) -> str:
        """Cross-attention of a text that comes to the layers as it was encoded is open to other texts.

        Args:
            config: The model's configuration.
            kinds: Kinds of the attentions that are captured.
        """
        if "joint" in kinds:
            return "attends to text and places in one softmax, whose keys of another text are not kept"
        if (changed := config.get("encoder_hid_dim_type")) not in (None, "ip_image_proj"):
            return f"changes its text before the layers ({changed}), and a trace does not keep how"
        return ""

    def is_of(self, model: Any) -> bool:
        """Whatever no other family takes: whether it is a U-Net, its attentions tell.

        Args:
            model: A module.
        """
        return True

    def takes(self, config: Config) -> bool:
        """Whether a configuration is of a U-Net; older files say no class.

        Args:
            config: The contents of its config.json.
        """
        return "UNet" in str(config.get("_class_name", "UNet"))

    def native_latent(self, config: Config) -> SizeHW | None:
        """Height and width of the latent that a model was made for; None where its configuration does not say.

        Args:
            config: The model's configuration.
        """
        return both_sides(config.get("sample_size"))

    def patch(self, config: Config) -> int:
        """Any latent: odd sides are rounded on the way down.

        Args:
            config: The model's configuration.
        """
        return 1

    def planned(self, setting: Setting) -> tuple[Layer, ...]:
        """The attentions of one call, for one row.

        Args:
            setting: What the run is planned with.
        """
        return tuple(
            Layer(
                block=block.number,
                kind=kind,
                path=path,
                stage=section.stage,
                grid=section.grid,
                heads=section.heads,
                head_dim=section.head_dim,
                keys=section.grid.places if kind == "self" else setting.tokens or CLIP_TOKENS,
            )
            for section in plan_unet(setting.config, Grid(*setting.latent_hw))
            for block in section.blocks
            for kind, path in block.attentions
        )

    def calls(self, pipeline: str, guidance: bool | None) -> tuple[int, ...]:
        """Guidance is a second row.

        Args:
            pipeline: Class of the pipeline.
            guidance: Whether it guides; it does where nothing is said.
        """
        return (1,) if guidance is False else (2,)

    def order(self, paths: Iterable[str]) -> tuple[LayerPlace, ...]:
        """Attentions in the order in which data passes them.

        Args:
            paths: Their module paths.
        """
        return execution_order(paths)

    def kind(self, attention: Any, path: str) -> Kind:
        """The kind of an attention.

        Args:
            attention: Its module.
            path: The module's path.
        """
        if path.endswith(".fuser.attn"):
            return "fuser"
        if getattr(attention, "added_kv_proj_dim", None) is not None:
            return "cross" if getattr(attention, "only_cross_attention", False) else "joint"
        return "cross" if getattr(attention, "is_cross_attention", False) else "self"

    def not_recorded(self, path: str) -> str | None:
        """Why an attention is not recorded; None if it is.

        Args:
            path: Its module's path.
        """
        if _OVER_TIME.search(path):
            return "attention over time, between the frames of a video"
        if not _IN_BLOCKS.search(path):
            return "attention outside the blocks, over what conditions the model"
        if ".ctrl_" in path:
            return "attention of a control branch, which is not the U-Net's own"
        return None

    def map_owner(self, path: str) -> str:
        """The transformer around a block; a K-block around attn1 and attn2; or the attention itself, which gets a map.

        Args:
            path: The attention's module path.
        """
        around, block, _ = path.partition(".transformer_blocks.")
        parent, _, leaf = path.rpartition(".")
        return around if block else parent if leaf in ("attn1", "attn2") else path

    def sides(self, path: str) -> Sides | None:
        """Unknown: processors may add keys from elsewhere.

        Args:
            path: The attention's module path.
        """
        return None

    def attended(self, config: Config, arguments: Mapping[str, Any]) -> Attended | None:
        """Unknown: each layer has a grid of its own.

        Args:
            config: The model's configuration.
            arguments: Of its forward, by name.
        """
        return None

    def longest_text(self, names: Iterable[str], variables: Mapping[str, Any]) -> int:
        """Not asked: all calls have texts of one length.

        Args:
            names: The variables that hold conditionings.
            variables: All variables of the pipeline's call.
        """
        return 0

    def frame_axis(self, paths: Iterable[str]) -> int:
        """Stable Video Diffusion has frames before channels, the others after.

        Args:
            paths: Module paths of the model.
        """
        return 1 if any("temporal_transformer_blocks" in path for path in paths) else 2


UNET = UNetFamily()

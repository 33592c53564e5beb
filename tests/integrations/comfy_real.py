"""The true ComfyUI with a small U-Net of random weights, for tests: `ATTNSCOPE_COMFYUI=folder` names its checkout."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

FOLDER = os.environ.get("ATTNSCOPE_COMFYUI", "")
UNET = {
    "image_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 32,
    "num_res_blocks": [1, 1],
    "channel_mult": (1, 2),
    "transformer_depth": [1, 1],
    "transformer_depth_output": [1, 1, 1, 1],
    "transformer_depth_middle": 1,
    "num_heads": 4,
    "num_head_channels": -1,
    "use_spatial_transformer": True,
    "context_dim": 16,
    "use_checkpoint": False,
    "legacy": False,
    "dtype": torch.float32,
}


class _Clip:
    """ComfyUI's own tokenizer of SD 1.x, and random vectors for its tokens."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def tokenize(self, text: str, return_word_ids: bool = False) -> dict[str, Any]:
        return self.tokenizer.tokenize_with_weights(text, return_word_ids)

    def encode_from_tokens(self, tokens: dict[str, Any]) -> Tensor:
        flat = [(entry[0], entry[1]) for chunk in tokens["l"] for entry in chunk]
        vectors = torch.randn(50000, 16, generator=torch.Generator().manual_seed(5))
        rows = [vectors[number] * weight for number, weight in flat]
        return torch.stack(rows)[None] + torch.linspace(0, 1, len(flat))[None, :, None]


class RealWorld:
    """Models, CLIP and sampling of the true ComfyUI."""

    name = "ComfyUI"

    def __init__(self) -> None:
        sys.argv = ["comfy", "--cpu"]
        sys.path.insert(0, str(Path(FOLDER).resolve()))
        importlib.import_module("comfy.options").enable_args_parsing()
        self.samplers = importlib.import_module("comfy.samplers")
        self._patcher = importlib.import_module("comfy.model_patcher")
        self._models = importlib.import_module("comfy.supported_models")
        self._tokens = importlib.import_module("comfy.sd1_clip")

    @property
    def attention(self) -> Any:
        """The module with ComfyUI's attention functions."""
        return importlib.import_module("comfy.ldm.modules.attention")

    def model(self, **changes: Any) -> Any:
        """A ModelPatcher of a small U-Net; the same weights each time."""
        torch.manual_seed(0)
        config = self._models.SD15({**UNET, **changes})
        config.unet_config = {**UNET, **changes}
        model = config.get_model({}, "", device="cpu")
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        return self._patcher.ModelPatcher(model, torch.device("cpu"), torch.device("cpu"))

    def separate(self, model: Any) -> None:
        """Make ComfyUI run cond and uncond in calls of their own, as it does when memory is short."""
        model.model.memory_required = lambda *args, **kwargs: 1e30

    def clip(self) -> Any:
        """A CLIP with ComfyUI's tokenizer."""
        return _Clip(self._tokens.SD1Tokenizer())

    def sample(
        self,
        model: Any,
        positive: Any,
        negative: Any,
        *,
        images: int = 1,
        size: tuple[int, int] = (4, 6),
        steps: int = 3,
        cfg: float = 5.0,
        sampler: str = "euler",
        seed: int = 1,
        negative_first: bool = False,
    ) -> Tensor:
        """What KSampler does, in inference mode as ComfyUI runs its nodes."""
        with torch.inference_mode():
            samplers, latent = self.samplers, torch.zeros(images, 4, *size)
            noise = importlib.import_module("comfy.sample").prepare_noise(latent, seed)
            sigmas = samplers.KSampler(model, steps, model.load_device, sampler, "normal", 1.0).sigmas
            guider = self._guider(negative_first)(model)
            guider.set_conds(positive, negative)
            guider.set_cfg(cfg)
            return guider.sample(
                noise, latent, samplers.sampler_object(sampler), sigmas, disable_pbar=True, seed=seed
            )

    def _guider(self, negative_first: bool) -> Any:
        samplers = self.samplers

        class NegativeFirst(samplers.CFGGuider):  # as DualCFGGuider numbers them
            def predict_noise(self, x: Tensor, sigma: Tensor, model_options: Any, seed: Any = None) -> Tensor:
                conds = [self.conds["negative"], self.conds["positive"]]
                uncond, cond = samplers.calc_cond_batch(self.inner_model, conds, x, sigma, model_options)
                return uncond + (cond - uncond) * self.cfg

        return NegativeFirst if negative_first else samplers.CFGGuider


class _Vae:
    """Stands in for a VAE: pictures of 8x8 pixels a place."""

    def decode(self, latent: Tensor) -> Tensor:
        larger = latent[:, :3].repeat_interleave(8, 2).repeat_interleave(8, 3)
        return larger.sigmoid().movedim(1, -1)


class _Server:
    """Stands in for ComfyUI's server: nobody listens."""

    client_id = last_node_id = None

    def send_sync(self, *args: Any) -> None: ...


def executor(world: RealWorld, pack: Path) -> Any:
    """ComfyUI's own executor of workflows, with a checkpoint of the small model, and our pack loaded by ComfyUI."""

    class Checkpoint:
        RETURN_TYPES, FUNCTION, CATEGORY = ("MODEL", "CLIP", "VAE"), "load", "tests"

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"required": {"ckpt_name": ("STRING", {})}}

        def load(self, ckpt_name: str) -> tuple[Any, Any, Any]:
            return world.model(), _EncodingClip(world), _Vae()

    nodes, execution = (importlib.import_module(name) for name in ("nodes", "execution"))
    primitive = Path(FOLDER) / "comfy_extras" / "nodes_primitive.py"
    for path, parent in ((primitive, "comfy_extras"), (pack, "custom_nodes")):
        assert asyncio.run(nodes.load_custom_node(str(path), module_parent=parent))
    nodes.NODE_CLASS_MAPPINGS["CheckpointLoaderSimple"] = Checkpoint
    return execution.PromptExecutor(_Server())


class _EncodingClip(_Clip):
    def __init__(self, world: RealWorld) -> None:
        super().__init__(world.clip().tokenizer)

    def encode_from_tokens_scheduled(self, tokens: dict[str, Any]) -> list[Any]:
        return [[self.encode_from_tokens(tokens), {}]]

"""Whether a pipeline that was loaded has all of its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from attnscope.errors import ModelError
from attnscope.pipelines.model_folder import Part

_SPECIAL = ("device_map", "quantization_config", "max_memory", "offload_folder", "variant", "gguf_file")
"""Ways of loading in which diffusers must do all by itself."""


def text_encoders(parts: Sequence[Part], dtype: torch.dtype, how: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of transformers, loaded by themselves, since only so they say which numbers their files lack.

    Args:
        parts: Parts of a model folder.
        dtype: Type of the weights.
        how: What diffusers is asked for besides. Where it has to do all by itself, nothing is loaded here.

    Raises:
        ModelError: Some weights would be random numbers.
    """
    if any(how.get(name) is not None for name in _SPECIAL):
        return {}
    own = [part for part in parts if part.has_weights and part.kind.__module__.startswith("transformers.")]
    return {part.name: _whole(part, dtype) for part in own}


def _whole(part: Part, dtype: torch.dtype) -> Any:
    kind: Any = part.kind
    how = {"use_safetensors": True, "local_files_only": True, "trust_remote_code": False}
    try:
        model, about = kind.from_pretrained(part.folder, torch_dtype=dtype, output_loading_info=True, **how)
    except RuntimeError as error:
        if "ignore_mismatched_sizes" not in str(error):
            raise
        raise ModelError(
            f"{part.folder}: its weights have other shapes than its config.json says, as if they came from "
            "two models: copy the whole model"
        ) from error
    _refuse_lacking(str(part.folder), sorted(about["missing_keys"]))
    return model


def check_whole(pipe: Any) -> None:
    """Refuse a pipeline with a part whose weights were not all in its files, or whose schedule is no number.

    Args:
        pipe: The pipeline.

    Raises:
        ModelError: The part is named.
    """
    for name, part in pipe.components.items():
        if isinstance(part, torch.nn.Module):
            tensors = dict(part.named_parameters())
            _refuse_lacking(name, sorted(key for key, tensor in tensors.items() if tensor.is_meta))
    betas = getattr(getattr(pipe, "scheduler", None), "betas", None)
    if isinstance(betas, torch.Tensor) and not betas.isfinite().all():
        raise ModelError(
            "the scheduler's betas hold NaN or infinite numbers: mend beta_start, beta_end or trained_betas in "
            "scheduler/scheduler_config.json, or copy the whole model again"
        )


def _refuse_lacking(where: str, lacking: Sequence[str]) -> None:
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise ModelError(
            f"{where} lacks weights: {lacking[0]}{more}. They would be random numbers: copy the whole model"
        )

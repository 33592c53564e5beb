"""Whether Triton's kernels can compute a reduction here, or why not."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sysconfig
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

OLDEST_TRITON = (3, 3)  # takes tuples as arguments; comes with torch 2.7
OLDEST_GPU = (8, 0)  # compute capability: Triton has no tensor cores for older ones, where it runs at all
TYPES = (torch.float16, torch.bfloat16, torch.float32)


def is_interpreted() -> bool:
    """Whether TRITON_INTERPRET=1 is set: Triton then runs kernels on a CPU, slowly, for tests.

    Triton reads this variable when it is imported, so set it before.
    """
    return os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "on", "yes", "y")


def why_not_triton(query: Tensor, key: Tensor) -> str:
    """The first reason why Triton's kernels can't take these tensors; empty where they can.

    Triton is imported only if nothing else stands in the way.

    Args:
        query: Q.
        key: K.
    """
    if query.device.type != "cuda" and not (query.device.type == "cpu" and is_interpreted()):
        return "Triton kernels need a GPU of CUDA or ROCm"
    if query.dtype not in TYPES or key.dtype != query.dtype:
        return f"Triton kernels take {_names(TYPES)}, not {_names((query.dtype, key.dtype))}"
    if is_interpreted() and query.dtype == torch.bfloat16:
        return "Triton's interpreter multiplies bfloat16 wrongly"
    return _why_not_this_gpu(query.device) or _why_not_this_triton() or _why_no_launcher()


def _why_not_this_gpu(device: torch.device) -> str:
    if is_interpreted() or (capability := torch.cuda.get_device_capability(device)) >= OLDEST_GPU:
        return ""
    return "Triton kernels need compute capability {}.{}, this GPU has {}.{}".format(*OLDEST_GPU, *capability)


@cache
def _why_not_this_triton() -> str:
    if importlib.util.find_spec("triton") is None:
        return "triton is missing: pip install triton (on Windows triton-windows)"
    import triton

    if tuple(int(part) for part in triton.__version__.split(".")[:2]) >= OLDEST_TRITON:
        return ""
    return f"triton {triton.__version__} is older than 3.3, which comes with torch 2.7"


@cache
def _why_no_launcher() -> str:
    """Triton builds a small C program around each kernel that it launches; on Windows it brings a compiler."""
    if is_interpreted() or os.name == "nt":
        return ""
    if not any(shutil.which(compiler) for compiler in (os.environ.get("CC"), "gcc", "clang") if compiler):
        return "Triton needs a C compiler: install gcc, or name one in CC"
    scheme = sysconfig.get_default_scheme().replace("posix_local", "posix_prefix")  # as Triton looks for them
    if not Path(sysconfig.get_paths(scheme=scheme)["include"], "Python.h").is_file():
        return "Triton needs Python's C headers: install python3-dev"
    return ""


def _names(types: tuple[torch.dtype, ...]) -> str:
    return ", ".join(str(dtype).removeprefix("torch.") for dtype in dict.fromkeys(types))

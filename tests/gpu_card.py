"""The device that tests marked gpu run on: the GPU, or in a rehearsal the CPU with smaller sizes."""

import os
from contextlib import contextmanager

import torch

REHEARSAL = bool(os.environ.get("ATTNSCOPE_GPU_REHEARSAL"))
DEVICE = torch.device("cpu" if REHEARSAL else "cuda")
TYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
HEADS = 2 if REHEARSAL else 8

os.environ.setdefault(
    "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
)  # products repeat themselves to the bit in any stream
torch.backends.cudnn.benchmark = False  # and so do convolutions
torch.backends.cudnn.deterministic = True


def length(full: int) -> int:
    """So many queries or keys; in a rehearsal a few, but for the largest, which fill a block of 64 and one more."""
    return full if not REHEARSAL or full <= 80 else 66 if full > 9000 else 10 + full % 13


@contextmanager
def no_waiting():
    """Where the host waits for the GPU inside, torch raises; a rehearsal has none to wait for."""
    if DEVICE.type == "cpu":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")

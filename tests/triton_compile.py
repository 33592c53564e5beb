"""Compiles every Triton kernel for a GPU that need not be there; prints {kernel and type: shared memory in bytes}.

The launchers run on CPU tensors with `warmup`, which compiles a launch and stops short of it. It finds what the
interpreter lets pass: Triton's own types, and what a GPU has room for. Run in a fresh process.
"""

import json

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime.jit import JITFunction

from attnscope.probability.contraction import contraction
from attnscope.probability.triton_kernels import entropy_triton, reduce_triton


class Ampere:
    """As much of a driver as compiling asks for: compute capability 8.0, warps of 32."""

    def get_current_target(self):
        return GPUTarget("cuda", 80, 32)

    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return 0


def shared_memory():
    found = {}
    launch = JITFunction.run

    def compile_only(kernel, *given, **how):
        compiled = launch(kernel, *given, **{**how, "warmup": True})
        found[f"{kernel.__name__} {given[0].query.dtype}"] = compiled.metadata.shared

    JITFunction.run = compile_only  # which kernel[grid](...) calls
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        query = key = torch.zeros(8, 128, 160, dtype=dtype)  # the largest dim in Stable Diffusion
        mask = torch.ones(1, 1, 128, dtype=torch.bool)
        for over in (["head"], ["query"], ["key"]):
            asked = contraction(query, key, over, None, None, torch.float32)
            reduce_triton(query, key, asked, scale=0.1, mask=mask, into=torch.zeros(asked.shape))
        entropy_triton(query, key, scale=0.1)
    return found


if __name__ == "__main__":
    triton.runtime.driver.set_active(Ampere())
    print(json.dumps(shared_memory()))

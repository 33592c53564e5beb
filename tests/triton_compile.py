"""Compiles every Triton kernel for GPUs that need not be there; prints {kernel, type and GPU: shared memory in bytes}.

The launchers run on CPU tensors with `warmup`, which compiles a launch and stops short of it. It finds what the
interpreter lets pass: Triton's own types, and what a GPU has room for. Run in a fresh process.
"""

import json
from collections import Counter

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime.jit import JITFunction

from attnscope.probability.contraction import contraction
from attnscope.probability.triton_sums import entropy_triton, reduce_triton


class Driver:
    """As much of a driver as compiling asks for: a compute capability, warps of 32."""

    def __init__(self, capability):
        self.capability = capability

    def get_current_target(self):
        return GPUTarget("cuda", self.capability, 32)

    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return 0


CAPABILITIES = (80, 90)  # Ampere, Hopper
CASES = (  # heads, queries, keys, dim, mask: the largest dim in Stable Diffusion; every number that can be 1
    (8, 128, 128, 160, torch.ones(1, 1, 128, dtype=torch.bool)),
    (1, 1, 77, 40, None),
    (1, 77, 1, 1, torch.zeros(1, 77, 1)),
)


def compile_all():
    """Every kernel of the launchers, with and without a mask and a result to add to."""
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        for heads, queries, keys, dim, mask in CASES:
            query, key = (
                torch.zeros(heads, queries, dim, dtype=dtype),
                torch.zeros(heads, keys, dim, dtype=dtype),
            )
            for over in (["head"], ["query"], ["key"]):
                asked = contraction(query, key, over, None, None, torch.float32)
                reduce_triton(query, key, asked, scale=0.1, mask=mask)
                reduce_triton(query, key, asked, scale=0.1, mask=mask, into=torch.zeros(asked.shape))
            entropy_triton(query, key, scale=0.1, mask=mask)


def shared_memory():
    """The most that any variant of a kernel takes."""
    found = Counter()
    launch = JITFunction.run

    def compile_only(kernel, *given, **how):
        compiled = launch(kernel, *given, **{**how, "warmup": True})
        target = triton.runtime.driver.active.get_current_target().arch
        name = f"{kernel.__name__} {given[0].query.dtype} {target}"
        found[name] = max(found[name], compiled.metadata.shared)

    JITFunction.run = compile_only  # which kernel[grid](...) calls
    for capability in CAPABILITIES:
        triton.runtime.driver.set_active(Driver(capability))
        compile_all()
    return found


if __name__ == "__main__":
    print(json.dumps(shared_memory()))

"""Triton's kernels checked without a GPU, by Triton's interpreter and by compiling them; tests/gpu has them on one.

Triton reads TRITON_INTERPRET once, while it is imported: each check has a process of its own.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1]
needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None,
    reason="triton is not installed: it is made for Linux on x86-64",
)


def run(*command, **variables):
    """The output of a fresh Python."""
    kept = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        cwd=HERE.parent,
        env={**kept, "TRITON_DEFAULT_FP_FUSION": "1", **variables},  # a choice, lest Triton 3.9 warns
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.thorough
@pytest.mark.slow
@needs_triton
def test_every_case_holds_in_the_interpreter():
    run("-m", "pytest", HERE / "triton_kernel_cases.py", TRITON_INTERPRET="1")


@pytest.mark.thorough
@pytest.mark.slow
@needs_triton
def test_every_kernel_compiles_for_gpus_and_fits_into_them(tmp_path):
    shared = json.loads(run(HERE / "triton_compile.py", TRITON_CACHE_DIR=str(tmp_path)))
    assert len(shared) == 4 * 3 * 2, f"4 kernels of 3 types for 2 GPUs were expected, not {list(shared)}"
    assert max(shared.values()) <= 48 * 1024  # what any GPU has without asking for more


def test_triton_is_not_imported_where_it_is_not_used():
    program = """
import sys, torch
from attnscope import probability
query = torch.ones(1, 2, 4)
probability.reduce(query, query, scale=1.0, over=("head",))
probability.entropy(query, query, scale=1.0)
print("triton" in sys.modules)
"""
    assert run("-c", program).strip() == "False"

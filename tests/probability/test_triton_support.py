import importlib.util
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from attention_cases import qk
from attnscope import probability
from attnscope.probability import triton_support
from attnscope.probability.triton_support import why_not_triton


def on_gpu(dtype=torch.float16):
    """As much of a tensor on a GPU as is asked about."""
    return SimpleNamespace(device=torch.device("cuda", 0), dtype=dtype)


@pytest.fixture
def a_gpu_with_triton(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: "found")
    monkeypatch.setitem(sys.modules, "triton", SimpleNamespace(__version__="3.3.0+git"))
    for name in ("_why_no_launcher", "_why_not_this_triton"):
        monkeypatch.setattr(triton_support, name, getattr(triton_support, name).__wrapped__)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(Path, "is_file", lambda path: True)
    return monkeypatch


def test_half_precision_on_a_gpu_goes_to_triton(a_gpu_with_triton):
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        assert why_not_triton(on_gpu(dtype), on_gpu(dtype)) == ""
    path = probability.path_for(on_gpu(), on_gpu(), over=("head", "key"))
    assert path == ("triton", "sum over head and key on cuda, P is not materialised: Triton kernels")


def test_without_triton_the_reason_says_how_to_install_it(a_gpu_with_triton):
    a_gpu_with_triton.setattr(importlib.util, "find_spec", lambda name: None)
    path = probability.path_for(on_gpu(), on_gpu(), over=("head",))
    assert path.name == "tiled"
    assert path.reason.endswith(
        "row tiles, since triton is missing: pip install triton (on Windows triton-windows)"
    )


def test_an_old_triton_and_an_old_gpu_are_said(a_gpu_with_triton):
    a_gpu_with_triton.setitem(sys.modules, "triton", SimpleNamespace(__version__="3.2.0"))
    assert why_not_triton(on_gpu(), on_gpu()) == "triton 3.2.0 is older than 3.3, which comes with torch 2.7"
    a_gpu_with_triton.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert why_not_triton(on_gpu(), on_gpu()).endswith("need compute capability 8.0, this GPU has 7.5")


def test_without_a_compiler_or_headers_row_tiles_serve_and_say_why(a_gpu_with_triton):
    a_gpu_with_triton.setattr(Path, "is_file", lambda path: path.name != "Python.h")
    path = probability.path_for(on_gpu(), on_gpu(), over=("head",))
    assert path.name == "tiled"
    assert path.reason.endswith("since Triton needs Python's C headers: install python3-dev")
    a_gpu_with_triton.delenv("CC", raising=False)
    a_gpu_with_triton.setattr(shutil, "which", lambda name: None)
    assert why_not_triton(on_gpu(), on_gpu()) == "Triton needs a C compiler: install gcc, or name one in CC"
    a_gpu_with_triton.setenv("CC", "mycc")
    a_gpu_with_triton.setattr(shutil, "which", lambda name: name if name == "mycc" else None)
    assert "headers" in why_not_triton(on_gpu(), on_gpu())


def test_types_that_kernels_do_not_take_are_said(a_gpu_with_triton):
    double, half, single = (on_gpu(dtype) for dtype in (torch.float64, torch.float16, torch.float32))
    assert why_not_triton(double, double) == "Triton kernels take float16, bfloat16, float32, not float64"
    assert why_not_triton(half, single).endswith("not float16, float32")


def test_a_cpu_goes_to_triton_only_in_its_interpreter(a_gpu_with_triton):
    query, key = qk()
    assert why_not_triton(query, key) == "Triton kernels need a GPU of CUDA or ROCm"
    a_gpu_with_triton.setenv("TRITON_INTERPRET", "1")
    assert why_not_triton(query, key) == ""
    assert (
        why_not_triton(query.bfloat16(), key.bfloat16()) == "Triton's interpreter multiplies bfloat16 wrongly"
    )

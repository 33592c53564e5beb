"""Worlds for the nodes for ComfyUI: a stand-in that is always there, and the true one where it is installed."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import comfy_real
import pytest
from comfy_stand_in import StandInWorld


@pytest.fixture(scope="session")
def true_comfyui() -> comfy_real.RealWorld:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return comfy_real.RealWorld()


@pytest.fixture(
    params=[
        "stand-in",
        pytest.param(
            "ComfyUI",
            marks=[
                pytest.mark.skipif(
                    not comfy_real.FOLDER, reason="ATTNSCOPE_COMFYUI names no ComfyUI checkout"
                ),
                pytest.mark.filterwarnings("ignore"),
            ],
        ),
    ]
)
def world(request: pytest.FixtureRequest) -> Any:
    return StandInWorld() if request.param == "stand-in" else request.getfixturevalue("true_comfyui")


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder_paths = ModuleType("folder_paths")
    folder_paths.get_output_directory = lambda: str(tmp_path / "output")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "folder_paths", folder_paths)
    return tmp_path / "output"

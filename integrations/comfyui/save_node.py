"""The node Save trace."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor

from attnscope.errors import ParameterError

from .capture_node import CATEGORY, READS
from .handle import TraceHandle
from .images import pictures_of, plain_tensors

_PART = re.compile(r"[\w][\w .-]*")


class SaveTrace:
    """A trace as a folder in ComfyUI's output folder, which `attnscope view` opens."""

    CATEGORY = CATEGORY
    DESCRIPTION = "Writes the trace to ComfyUI's output folder. Open it with: attnscope view FOLDER"
    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("folder",)
    FUNCTION = "save"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """Sockets and widgets."""
        return {
            "required": {
                **READS,
                "filename": (
                    "STRING",
                    {"default": "attnscope/run", "tooltip": "In ComfyUI's output folder."},
                ),
            }
        }

    def save(
        self, trace: TraceHandle, latent: dict[str, Any], image: Tensor, filename: str = "attnscope/run"
    ) -> dict[str, Any]:
        """Write the trace with its pictures as NAME_00001.trace, NAME_00002.trace and so on.

        Args:
            trace: From Capture attention.
            latent: What KSampler made: it tells the run.
            image: The pictures of it.
            filename: A name in ComfyUI's output folder, with folders if wanted.

        Raises:
            ParameterError: The name leads out of that folder.
            OutputError: The folder can't be written.
            SelectionError: There is no trace of this latent.
        """
        output = Path(import_module("folder_paths").get_output_directory())  # ComfyUI's own
        with plain_tensors():
            known = trace.trace_of(pictures_of(image), latent)
            folder = next_folder(output, filename)
            folder.parent.mkdir(parents=True, exist_ok=True)
            known.save(folder)
        return {"ui": {"text": [f"attnscope view {folder}"]}, "result": (str(folder),)}


def next_folder(output: Path, filename: str) -> Path:
    """The first of NAME_00001.trace, NAME_00002.trace and so on that isn't there.

    Args:
        output: ComfyUI's output folder.
        filename: A name in it. Workflows come from others, so it may not lead out of it.

    Raises:
        ParameterError: It does, or it is no name.
    """
    parts = filename.strip().replace("\\", "/").split("/")
    path = output.joinpath(*parts)
    if not all(map(_PART.fullmatch, parts)) or not path.resolve().is_relative_to(output.resolve()):
        raise ParameterError(
            f"filename is {filename!r}; expected a name such as attnscope/run, of letters, digits, spaces and ._-, in "
            "ComfyUI's output folder"
        )
    number = 1
    while (folder := path.with_name(f"{path.name}_{number:05}.trace")).exists():
        number += 1
    return folder

"""The README's table of models, read off docs/compatibility.md: `./dev compatibility` writes both."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from compatibility.case import Cell
from compatibility.page import PAGE

READMES = tuple(PAGE.parents[1] / name for name in ("README.md", "README.ja.md"))
BEGINS, ENDS = "<!-- models: written by ./dev compatibility -->", "<!-- /models -->"

COLUMNS = ("text to image", "image to image", "inpainting", "ControlNet", "LoRA", "IP-Adapter")
_NAME = "{}Pipeline {}Img2ImgPipeline {}InpaintPipeline {}ControlNetPipeline"
MODELS: dict[str, tuple[str | None, ...]] = {
    "Stable Diffusion 1, 2": (*_NAME.replace("{}", "StableDiffusion").split(), "LoRA layers", "IP-Adapter"),
    "SDXL": (*_NAME.replace("{}", "StableDiffusionXL").split(), "SDXL: LoRA", "SDXL: IP-Adapter"),
    "Stable Diffusion 3, 3.5": (
        *_NAME.replace("{}", "StableDiffusion3").split(),
        "Stable Diffusion 3: LoRA",
        None,
    ),
    "Flux": (*_NAME.replace("{}", "Flux").split(), "Flux: LoRA", "Flux: two IP-Adapters"),
    "Flux 2 Klein": (
        "Flux2KleinPipeline",
        None,
        "Flux2KleinInpaintPipeline",
        None,
        "Flux 2 Klein: LoRA",
        None,
    ),
    "Qwen-Image": (*_NAME.replace("{}", "QwenImage").split(), "Qwen-Image: LoRA", None),
    "Z-Image": (*_NAME.replace("{}", "ZImage").split(), "Z-Image: LoRA", None),
    "Chroma": (
        "ChromaPipeline",
        "ChromaImg2ImgPipeline",
        "ChromaInpaintPipeline",
        None,
        "Chroma: LoRA",
        None,
    ),
    "PixArt": ("PixArtSigmaPipeline", None, None, None, "PixArt: LoRA", None),
    "HunyuanDiT": (
        "HunyuanDiTPipeline",
        None,
        None,
        "HunyuanDiTControlNetPipeline",
        "HunyuanDiT: LoRA",
        None,
    ),
    "AuraFlow": ("AuraFlowPipeline", None, None, None, "AuraFlow: LoRA", None),
    "Kandinsky 2.2": (
        "KandinskyV22CombinedPipeline",
        "KandinskyV22Img2ImgCombinedPipeline",
        "KandinskyV22InpaintCombinedPipeline",
        "KandinskyV22ControlnetPipeline",
        None,
        None,
    ),
}
"""The case of each column; None where none was run."""


def summary(cells: Mapping[str, Mapping[str, Cell]]) -> str:
    """The table as Markdown: ✓ where all six questions of a case are answered right.

    Args:
        cells: Of each case the cell of each column.
    """
    lines = ["| | " + " | ".join(COLUMNS) + " |", "|---|" + ":-:|" * len(COLUMNS)]
    for model, cases in MODELS.items():
        signs = ("" if case is None else _sign(cells[case]) for case in cases)
        lines.append(f"| {model} | " + " | ".join(signs) + " |")
    return "\n".join(lines)


def _sign(row: Mapping[str, Cell]) -> str:
    verdicts = {cell.verdict for cell in row.values()}
    return "✓" if verdicts == {"right"} else "partly" if "right" in verdicts else "—"


def with_summary(readme: str, cells: Mapping[str, Mapping[str, Cell]]) -> str:
    """A README with the table as it is now.

    Args:
        readme: Its text, in which two comments enclose the table.
        cells: Of each case the cell of each column.
    """
    table = f"{BEGINS}\n\n{summary(cells)}\n\n{ENDS}"
    whole, count = re.subn(f"{re.escape(BEGINS)}.*?{re.escape(ENDS)}", lambda _: table, readme, flags=re.S)
    if count != 1:
        raise ValueError(f"expected one table of models between {BEGINS} and {ENDS}, found {count}")
    return whole


def write(cells: Mapping[str, Mapping[str, Cell]], readmes: tuple[Path, ...] = READMES) -> None:
    """Put the table into the READMEs.

    Args:
        cells: Of each case the cell of each column.
        readmes: Which.
    """
    for readme in readmes:
        readme.write_text(with_summary(readme.read_text("utf-8"), cells), "utf-8")

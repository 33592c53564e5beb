"""Tokens merged before the attention (ToMe): its queries are no longer the places of a map."""

from __future__ import annotations

from typing import Any

from torch import nn

from attnscope.recording.obstacles.obstacle import Obstacle

CLASS = "ToMeBlock"
REMEDY = "take the patch off, `import tomesd; tomesd.remove_patch(pipe)`"


def merged_tokens(model: nn.Module, path: str, kind: str) -> Obstacle | None:
    """Whether the block of an attention merges its queries.

    Args:
        model: The denoising model.
        path: The attention's path.
        kind: 'self' or 'cross'.
    """
    block = model.get_submodule(path.rpartition(".")[0])
    if type(block).__name__ != CLASS:
        return None
    asked: dict[str, Any] = getattr(block, "_tome_info", {}).get("args", {})
    merging = {"self": asked.get("merge_attn", True), "cross": asked.get("merge_crossattn", True)}
    if not merging[kind] or not asked.get("ratio", 1) or not _reaches(asked, model, path):
        return None
    unmerged = next((other for other, merged in merging.items() if not merged), None)
    return Obstacle(
        f"ToMe (tomesd) merges tokens before the {kind}-attention, so its queries are not places of a map",
        REMEDY + (f", or capture(..., kind={unmerged!r})" if unmerged else ""),
    )


def _reaches(asked: dict[str, Any], model: nn.Module, path: str) -> bool:
    """ToMe merges on grids that are at most so many times coarser than the latent."""
    stages = len(getattr(model, "down_blocks", ()))
    stage, _, rest = path.partition(".")
    number = int(rest.partition(".")[0]) if stage != "mid_block" else stages - 1
    level = stages - 1 - number if stage == "up_blocks" else number
    return 2**level <= asked.get("max_downsample", 2**stages)

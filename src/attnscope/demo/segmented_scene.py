"""A drawn scene that the model has never seen, segmented and scored against its true masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from attnscope.demo.scenes import Scene, scene
from attnscope.demo.scoring import matched_iou
from attnscope.segmentation.result import Segmentation
from attnscope.segmentation.segment import segment


@dataclass(frozen=True)
class SceneResult:
    """A drawn scene and what was found in it.

    Attributes:
        scene: The scene.
        found: Its segments.
        named: Its segments, named by words.
        score: Mean IoU of `found` over the true parts, each matched with at most one segment, 0..1.
    """

    scene: Scene
    found: Segmentation
    named: Segmentation
    score: float


def segment_scene(pipe: Any, scene_seed: int) -> SceneResult:
    """Segment the scene of a seed.

    Args:
        pipe: The pipeline.
        scene_seed: The seed.
    """
    drawn = scene(scene_seed)
    segmentation = segment(drawn.pil_image, pipe)
    named = segment(drawn.pil_image, pipe, labels=drawn.parts)
    return SceneResult(drawn, segmentation, named, matched_iou(segmentation.labels, drawn.segments))

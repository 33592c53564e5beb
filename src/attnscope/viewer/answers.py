"""From results to the JSON of the viewer."""

from __future__ import annotations

from attnscope.segmentation_result import Segmentation
from attnscope.viewer.aggregates import Aggregate
from attnscope.viewer.schemas import SegmentInfo, SegmentsInfo


def segments_info(aggregate: Aggregate, found: Segmentation) -> SegmentsInfo:
    """Everything about segments but their pixels."""
    scores = aggregate.word_scores(found.labels)
    height, width = found.labels.shape
    return SegmentsInfo(
        height=height,
        width=width,
        thresholds=list(found.recipe.thresholds),
        segments=[
            SegmentInfo(
                id=one.id,
                label=one.label,
                area=one.area,
                share=one.area / (height * width),
                box=one.box,
                centroid=one.centroid,
                scores=scores[one.id].tolist(),
                rle=one.rle,
            )
            for one in found.segments
        ],
    )

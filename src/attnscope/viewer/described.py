"""What the viewer computes, as the JSON that it speaks."""

from __future__ import annotations

from attnscope.pictures.overlays import segment_colours
from attnscope.segmentation.recipe import as_dict
from attnscope.segmentation.result import Segmentation
from attnscope.viewer.aggregates import Aggregate
from attnscope.viewer.schemas import AggregateInfo, SegmentInfo, SegmentsInfo


def segments_info(segmentation: Segmentation) -> SegmentsInfo:
    """Everything about segments but their pixels."""
    scores = segmentation.evidence.word_scores(segmentation.labels)
    height, width = segmentation.labels.shape
    return SegmentsInfo(
        height=height,
        width=width,
        thresholds=as_dict(segmentation.recipe)["thresholds"],
        colours=segment_colours(len(segmentation)).tolist(),
        segments=[
            SegmentInfo(
                id=segment.id,
                label=segment.label,
                area=segment.area,
                share=segment.area / (height * width),
                box=segment.box,
                centroid=segment.centroid,
                scores=scores[segment.id].tolist(),
                rle=segment.rle,
            )
            for segment in segmentation.segments
        ],
    )


def state_info(aggregate: Aggregate | None) -> AggregateInfo:
    """How far an aggregate is; None is one that nobody has asked for."""
    if aggregate is None:
        return AggregateInfo(state="absent")
    failure = aggregate.failure
    error = "" if failure is None else str(failure) or type(failure).__name__
    return AggregateInfo(state=aggregate.state, done=aggregate.done, total=aggregate.total, error=error)

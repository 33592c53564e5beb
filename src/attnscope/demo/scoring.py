"""How well a map hits a mask, and how well a segmentation matches the truth: pure functions of arrays."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from PIL import Image


def pointing_hit(heat: Float[np.ndarray, "h w"], mask: Bool[np.ndarray, "height width"]) -> bool:
    """Whether the middle of the hottest place lies in the mask.

    Args:
        heat: A heat map.
        mask: Of any size.

    Source: the pointing game of Zhang et al. 2016.
    """
    row, column = np.unravel_index(int(np.argmax(heat)), heat.shape)
    height, width = mask.shape
    return bool(
        mask[(2 * row + 1) * height // (2 * heat.shape[0]), (2 * column + 1) * width // (2 * heat.shape[1])]
    )


def heat_iou(
    heat: Float[np.ndarray, "h w"], mask: Bool[np.ndarray, "height width"], threshold: float
) -> float:
    """IoU of a mask with the pixels where the heat is large, 0..1.

    Args:
        heat: A heat map.
        mask: Of any size; the heat map is resized to it.
        threshold: Share of the map's largest value above which heat is large, 0..1.
    """
    height, width = mask.shape
    large = np.asarray(
        Image.fromarray(heat.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    )
    above = large > threshold * heat.max()
    return float((above & mask).sum() / max((above | mask).sum(), 1))


def matched_iou(found: Shaped[np.ndarray, "h w"], truth: Shaped[np.ndarray, "h w"]) -> float:
    """Mean IoU over the true segments of one picture, 0..1, each matched with at most one found segment.

    The matching is Hungarian, per picture, on IoU. A true segment without a partner counts 0; surplus found
    segments only cost what they take from others.

    Args:
        found: Labels that were found.
        truth: The true labels, of the same size.
    """
    iou = overlaps(found, truth)
    return float(iou[_best_pairs(iou)].sum() / iou.shape[1])


def partners(
    found: Int[np.ndarray, "h w"], truth: Int[np.ndarray, "h w"]
) -> Int[np.ndarray, " true_segment"]:
    """For each true segment, the number of the found one that `matched_iou` matches it with.

    Args:
        found: Labels that were found, from 0 without gaps.
        truth: The true labels, likewise.

    Returns:
        A true segment without a partner gets a number that no found one has.
    """
    iou = overlaps(found, truth)
    numbers = len(iou) + np.arange(iou.shape[1])
    rows, columns = _best_pairs(iou)
    numbers[columns] = rows
    return numbers


def _best_pairs(iou: Float[np.ndarray, "found truth"]) -> tuple[np.ndarray, np.ndarray]:
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(iou, maximize=True)


def overlaps(
    found: Shaped[np.ndarray, "h w"], truth: Shaped[np.ndarray, "h w"]
) -> Float[np.ndarray, "found truth"]:
    """IoU of every found segment with every true one.

    Args:
        found: Labels that were found.
        truth: The true labels, of the same size.
    """
    found_ids, truth_ids = _numbered(found), _numbered(truth)
    counts = np.zeros((found_ids.max() + 1, truth_ids.max() + 1))
    np.add.at(counts, (found_ids, truth_ids), 1)
    union = counts.sum(1, keepdims=True) + counts.sum(0, keepdims=True) - counts
    return counts / union


def _numbered(labels: Shaped[np.ndarray, "h w"]) -> Int[np.ndarray, pixels]:
    """The same segments, flat, numbered from 0 without gaps."""
    return np.unique(labels, return_inverse=True)[1].ravel()

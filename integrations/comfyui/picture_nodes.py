"""The nodes that draw on the picture: Heat map of a word, Where a place looks, Segments."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from attnscope.errors import ParameterError, WordError
from attnscope.heatmap.heat_map import heat_map
from attnscope.pictures.drawn_map import draw_map
from attnscope.pictures.maps import resize_maps
from attnscope.places.maps import box_map
from attnscope.places.view import Box, View
from attnscope.segmentation.segment import segment_trace

from .capture_node import CATEGORY, READS
from .choices import numbers
from .handle import TraceHandle
from .images import image_of, mask_of, pictures_of, plain_tensors

_STEPS = ("STRING", {"default": "", "tooltip": "From 0, such as 0-9. Empty: all that were kept."})


UNNAMED_PROMPT = (
    "the words of the prompt are unknown: connect clip and text of Capture attention to the CLIP and the text that "
    "CLIP Text Encode gets"
)


def _chosen(text: str, name: str) -> list[int] | None:
    chosen = numbers(text, name)
    return None if chosen is None else sorted(chosen)


class HeatMapOfWord:
    """Where a word of the prompt landed: the picture under a heat map, and a mask."""

    CATEGORY = CATEGORY
    DESCRIPTION = "Where a word of the prompt landed in the picture."
    RETURN_TYPES = ("IMAGE", "MASK")
    FUNCTION = "draw"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """Sockets and widgets."""
        return {
            "required": {
                **READS,
                "word": ("STRING", {"default": "", "tooltip": "A word or phrase of the prompt."}),
                "threshold": ("FLOAT", {"default": 0.4, "min": 0.0, "max": 1.0, "step": 0.01,
                                        "tooltip": "Of the mask, as a share of the maximum. 0: a soft mask."}),
                "blocks": ("STRING", {"default": "", "tooltip": "Such as 1, 4-9. Empty: all."}),
                "steps": _STEPS,
                "occurrence": ("INT", {"default": 0, "min": -100, "max": 100,
                                       "tooltip": "Which one of several such words, from 0."}),
            }
        }  # fmt: skip

    def draw(
        self,
        trace: TraceHandle,
        latent: dict[str, Any],
        image: Tensor,
        word: str,
        threshold: float = 0.4,
        blocks: str = "",
        steps: str = "",
        occurrence: int = 0,
    ) -> tuple[Tensor, Tensor]:
        """The heat map over each picture of the batch, and its mask.

        Args:
            trace: From Capture attention.
            latent: What KSampler made: it tells the run.
            image: The pictures of it.
            word: A word or phrase of the prompt.
            threshold: Of the mask, as a share of the map's maximum; 0 for the map itself, divided by its maximum.
            blocks: Block numbers from 1; all if empty.
            steps: Step numbers from 0; all if empty.
            occurrence: Which one of several such words, from 0.

        Raises:
            SelectionError: There is no trace of this latent, or it lacks the word, a block or a step.
        """
        with plain_tensors():
            pictures = pictures_of(image)
            known = trace.trace_of(pictures, latent)
            if not known.run.prompts:
                raise WordError(f"no word {word!r}: {UNNAMED_PROMPT}")
            heats = [
                heat_map(
                    known,
                    word,
                    blocks=_chosen(blocks, "blocks"),
                    steps=_chosen(steps, "steps"),
                    image=at,
                    occurrence=occurrence,
                )
                for at in range(len(pictures))
            ]
            drawn = [heat.overlay(picture) for heat, picture in zip(heats, pictures, strict=True)]
            masks = [
                _mask(heat.array, picture.size[::-1], threshold)
                for heat, picture in zip(heats, pictures, strict=True)
            ]
            return image_of(drawn), mask_of(masks)


class WhereAPlaceLooks:
    """Where a place of the picture looks: its self-attention over the picture, and as a soft mask."""

    CATEGORY = CATEGORY
    DESCRIPTION = "Which places of the picture a place looks at (self-attention)."
    RETURN_TYPES = ("IMAGE", "MASK")
    FUNCTION = "draw"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """Sockets and widgets."""
        return {
            "required": {
                **READS,
                "x": ("INT", {"default": 0, "min": 0, "max": 16384, "tooltip": "In pixels from the left."}),
                "y": ("INT", {"default": 0, "min": 0, "max": 16384, "tooltip": "In pixels from the top."}),
                "block": ("INT", {"default": 0, "min": 0, "max": 100, "tooltip": "0: the mean over all."}),
                "step": (
                    "INT",
                    {"default": -1, "min": -1, "max": 10000, "tooltip": "-1: the mean over all."},
                ),
                "head": ("INT", {"default": -1, "min": -1, "max": 100, "tooltip": "-1: the mean over all."}),
            }
        }

    def draw(
        self,
        trace: TraceHandle,
        latent: dict[str, Any],
        image: Tensor,
        x: int,
        y: int,
        block: int = 0,
        step: int = -1,
        head: int = -1,
    ) -> tuple[Tensor, Tensor]:
        """The place's map over each picture of the batch, and the map divided by its maximum.

        Args:
            trace: From Capture attention.
            latent: What KSampler made: it tells the run.
            image: The pictures of it.
            x: Pixels from the left.
            y: Pixels from the top.
            block: Block number from 1; 0 for the mean over all.
            step: Step number from 0; -1 for the mean over all.
            head: Head number from 0; -1 for the mean over all.

        Raises:
            ParameterError: The place is outside the picture.
            SelectionError: There is no trace of this latent, or it lacks the block, the step or the head.
        """
        with plain_tensors():
            pictures = pictures_of(image)
            known = trace.trace_of(pictures, latent)
            width, height = pictures[0].size
            if not (0 <= x < width and 0 <= y < height):
                raise ParameterError(
                    f"the place is x {x}, y {y}; expected pixels of the {width}x{height} picture"
                )
            box = Box.of_place((y + 0.5) / height, (x + 0.5) / width)
            view = View(block or None, None if head < 0 else head, None if step < 0 else step)
            maps = [
                box_map(known, View(view.block, view.head, view.step, view.branch, at), box)
                for at in range(len(pictures))
            ]
            drawn = [draw_map(values, picture) for values, picture in zip(maps, pictures, strict=True)]
            return image_of(drawn), mask_of([_mask(values, (height, width), 0) for values in maps])


class Segments:
    """The segments of one picture by DiffSeg: coloured, and as one mask each."""

    CATEGORY = CATEGORY
    DESCRIPTION = "DiffSeg's segments of the picture: one mask each, named by words of the prompt."
    RETURN_TYPES = ("IMAGE", "MASK", "STRING")
    RETURN_NAMES = ("image", "masks", "names")
    FUNCTION = "draw"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """Sockets and widgets."""
        return {
            "required": {
                **READS,
                "labels": ("STRING", {"default": "", "tooltip": "Words that name segments: house, tree."}),
                "threshold": ("FLOAT", {"default": 0.0, "min": 0.0, "max": 10.0, "step": 0.01,
                                        "tooltip": "The more, the fewer segments. 0: as recommended."}),
                "steps": _STEPS,
                "image_number": ("INT", {"default": 0, "min": 0, "max": 4096, "tooltip": "In the batch, from 0."}),
            }
        }  # fmt: skip

    def draw(
        self,
        trace: TraceHandle,
        latent: dict[str, Any],
        image: Tensor,
        labels: str = "",
        threshold: float = 0.0,
        steps: str = "",
        image_number: int = 0,
    ) -> tuple[Tensor, Tensor, str]:
        """The coloured picture, a mask of each segment, and their names, one a line.

        Args:
            trace: From Capture attention.
            latent: What KSampler made: it tells the run.
            image: The pictures of it.
            labels: Words of the prompt, with commas between them; none if empty.
            threshold: DiffSeg's merge threshold; 0 for the recommended one.
            steps: Step numbers from 0; all if empty.
            image_number: Number of the picture in the batch, from 0.

        Raises:
            ParameterError: The batch has no such picture.
            SelectionError: There is no trace of this latent, or it lacks a word or a step.
        """
        with plain_tensors():
            pictures = pictures_of(image)
            known = trace.trace_of(pictures, latent)
            if not 0 <= image_number < len(pictures):
                raise ParameterError(
                    f"image_number is {image_number}; the batch has 0 to {len(pictures) - 1}"
                )
            if labels.strip() and not known.run.prompts:
                raise WordError(f"labels {labels!r}: {UNNAMED_PROMPT}")
            words = [word.strip() for word in labels.split(",") if word.strip()]
            segments = segment_trace(
                known,
                image=image_number,
                labels=words or None,
                picture=pictures[image_number],
                steps=_chosen(steps, "steps"),
                thresholds=threshold or None,
            )
            masks = [segments.mask(number) for number in range(len(segments))]
            names = segments.names or (None,) * len(segments)
            listed = "\n".join(f"{number}: {name or 'no name'}" for number, name in enumerate(names))
            return image_of([segments.overlay()]), mask_of(masks), listed


def _mask(values: np.ndarray, size_hw: tuple[int, int], threshold: float) -> np.ndarray:
    """A map at the picture's size, divided by its maximum; from the threshold on 1, if there is one."""
    top = float(values.max())
    shares = resize_maps(torch.from_numpy(np.ascontiguousarray(values, np.float32)), size_hw).numpy()
    shares = np.clip(shares / top, 0, 1) if top > 0 else np.zeros(size_hw, np.float32)
    return shares if threshold <= 0 else (shares >= threshold).astype(np.float32)

"""Markov maps of clicks as pure functions: chain, iterations, upsampling, flood fill, threshold, nearest click.

chain.py       attention as a chain: sharpened and balanced
powers.py      many steps of the chain by few readings of it
walking.py     how many steps of the chain it takes to get from a start to every place
bilateral.py   a map at the picture's size, along the picture's colours
flooding.py    the least height that a way from the click has to climb
borders.py     how sharp the border of every threshold is, and the best threshold
nearest.py     each pixel belongs to its nearest click

Source: Karmann and Urfalioglu, "Repurposing Stable Diffusion Attention for Training-Free Unsupervised Interactive
Segmentation" (M2N2), CVPR 2025.

    iterations = markov_map(attention, (row, column))       # (h, w), from an attention (h * w, h * w)

torch is loaded with the first use of a name, not with this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnscope.lazily import lazily

if TYPE_CHECKING:
    from attnscope.markov.bilateral import Upsampling, upsampling
    from attnscope.markov.borders import BorderScores, border_scores, sobel_steps
    from attnscope.markov.chain import balanced, markov_chain, sharpened
    from attnscope.markov.flooding import flood_fill
    from attnscope.markov.nearest import nearest_click
    from attnscope.markov.powers import ChainPowers, chain_powers
    from attnscope.markov.walking import iterations, markov_map, start_of_place

_HOMES = {
    **dict.fromkeys(("BorderScores", "border_scores", "sobel_steps"), "borders"),
    **dict.fromkeys(("balanced", "markov_chain", "sharpened"), "chain"),
    "flood_fill": "flooding",
    **dict.fromkeys(("iterations", "markov_map", "start_of_place"), "walking"),
    "nearest_click": "nearest",
    **dict.fromkeys(("ChainPowers", "chain_powers"), "powers"),
    **dict.fromkeys(("Upsampling", "upsampling"), "bilateral"),
}

__all__ = [
    "BorderScores",
    "ChainPowers",
    "Upsampling",
    "balanced",
    "border_scores",
    "chain_powers",
    "flood_fill",
    "iterations",
    "markov_chain",
    "markov_map",
    "nearest_click",
    "sharpened",
    "sobel_steps",
    "start_of_place",
    "upsampling",
]

__getattr__, __dir__ = lazily(__name__, _HOMES)

"""A map in numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Statistics:
    """A map in numbers: mean, minimum and maximum in its own unit, peak (row, column), and entropy in bits.

    The entropy is that of the map as a distribution over its places: log2(places) for an even one.
    """

    mean: float
    minimum: float
    maximum: float
    peak: tuple[int, int]
    entropy_bits: float

    @classmethod
    def of(cls, array: Float[np.ndarray, "height width"]) -> Statistics:
        """The numbers of a map.

        Args:
            array: The map, not negative.
        """
        row, column = np.unravel_index(int(array.argmax()), array.shape)
        total = float(array.sum(dtype=np.float64))
        share = array[array > 0].astype(np.float64) / total if total > 0 else np.ones(1)
        return cls(
            float(array.mean(dtype=np.float64)),
            float(array.min()),
            float(array.max()),
            (int(row), int(column)),
            float(-(share * np.log2(share)).sum()),
        )

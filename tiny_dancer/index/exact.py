"""The exact scan: all similarities, then the greatest. Faster than any index when small."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def nearest(similarity: NDArray[np.float64], k: int) -> NDArray[np.intp]:
    """Return the positions of the k greatest similarities, greatest first.

    Args:
        similarity: shape [n].
        k: at least 1; n of them are returned where n is less.

    Equal similarities keep their order.
    """
    count = len(similarity)
    candidates: NDArray[np.intp] = np.arange(count)
    if count > 4 * k:
        threshold = np.partition(similarity, count - k)[count - k]
        candidates = np.flatnonzero(similarity >= threshold)
    order = np.argsort(-similarity[candidates], kind="stable")
    chosen: NDArray[np.intp] = candidates[order[:k]]
    return chosen

"""Texts longer than a model's window: which parts are embedded, and how they are joined.

A text of up to one window is embedded as it is. A longer one is covered by
``ceil(tokens / window)`` windows, at most ``max_windows``, all of full length and spread
evenly from its first token to its last. So the windows overlap where the text is not a
multiple of the window, skip parts where it is longer than ``max_windows`` of them, and
always hold the beginning and the end, where requests put their instruction. No window is
a short remainder, hence all weigh the same: the vector is the mean of theirs, renormalised.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.errors import InvalidArgumentError

DEFAULT_MAX_WINDOWS = 4


def window_starts(tokens: int, window: int, max_windows: int) -> list[int]:
    """Say where each window of a text begins.

    Args:
        tokens: length of the text, in tokens, at least 1.
        window: length of a window, in tokens, at least 1.
        max_windows: the most windows that may be used, at least 1.

    Returns:
        Ascending token offsets, the first 0, the last ``max(0, tokens - window)`` unless a
        single window has to do.

    Raises:
        InvalidArgumentError: a number is below 1.
    """
    for name, value in (("tokens", tokens), ("window", window), ("max_windows", max_windows)):
        if value < 1:
            raise InvalidArgumentError(f"{name} must be at least 1, not {value}")
    count = min(-(-tokens // window), max_windows)
    if count == 1:
        return [0]
    last = tokens - window
    return [round(i * last / (count - 1)) for i in range(count)]


def split_windows(ids: Sequence[int], window: int, max_windows: int) -> list[list[int]]:
    """Cut token ids into windows.

    Args:
        ids: the token ids of a text, without special tokens, at least one.
        window: length of a window, in tokens.
        max_windows: the most windows that may be used.

    Returns:
        The windows; one that equals ``ids`` if the text fits.
    """
    starts = window_starts(len(ids), window, max_windows)
    return [list(ids[start : start + window]) for start in starts]


def mean_direction(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Join the vectors of a text's windows into one.

    Args:
        vectors: shape [windows, dimension], each of unit norm.

    Returns:
        Their mean, scaled to unit norm, shape [dimension]; a single vector is returned as is.

    Raises:
        InvalidArgumentError: the vectors cancel out.
    """
    if len(vectors) == 1:
        only: NDArray[np.float32] = vectors[0]
        return only
    return unit(vectors.mean(axis=0, dtype=np.float64))


def unit(vector: NDArray[np.float32] | NDArray[np.float64]) -> NDArray[np.float32]:
    """Scale a vector to unit L2 norm.

    Args:
        vector: shape [dimension].

    Returns:
        The scaled vector as float32.

    Raises:
        InvalidArgumentError: the vector is all zeros, so it has no direction.
    """
    norm = float(np.sqrt(np.dot(vector, vector)))
    if norm == 0.0:
        raise InvalidArgumentError(
            "text to embed gives a vector of zeros",
            hint="Pass a longer text, or another model.",
        )
    scaled: NDArray[np.float32] = (vector / norm).astype(np.float32, copy=False)
    return scaled

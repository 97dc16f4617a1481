"""Weights in eight bits: symmetric, one scale per output channel.

The weights use 7 of the 8 bits, -63 to 63. Without VNNI a CPU multiplies by an instruction
that adds two products of an unsigned activation (up to 255) and a signed weight in 16 bits,
and clips: 2 x 255 x 127 overflows, 2 x 255 x 63 does not. So the vectors that a laptop,
a primary and a standby compute are the same, whatever their CPUs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WEIGHT_LIMIT = 63
TABLE_LIMIT = 127


def quantise_columns(
    weight: NDArray[np.float32], limit: int
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Quantise a matrix, each column by a scale of its own.

    Args:
        weight: shape [inputs, channels].
        limit: the largest magnitude to use, at most 127.

    Returns:
        The int8 matrix, shape [inputs, channels], and the scales, shape [channels], such
        that ``matrix * scales`` is nearest to ``weight``.
    """
    # A column of zeros, or of next to nothing, still needs a scale to divide by.
    least = np.finfo(np.float32).tiny
    scales = np.maximum(np.abs(weight).max(axis=0) / limit, least).astype(np.float32)
    return np.rint(weight / scales).astype(np.int8), scales

"""Rounding to steps so small that they mean nothing, so that what should tie does tie.

The last bits of a sum or a product depend on the machine and on the place in the array. Rounded,
agents of equal capabilities have equal similarities, and every backend decides alike.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def rounder(bits: int) -> Floats:
    """Return the number that rounds to multiples of 2**-bits when it is added and taken away.

    It is so large that 2**-bits is its last place. That holds for values up to 2**(51 - bits);
    it takes two passes over an array where scaling, rounding and scaling back takes four. It is an
    array [], for of a number NumPy makes one in each pass.
    """
    number = np.array(1.5 * 2.0 ** (52 - bits))
    number.flags.writeable = False
    return number


# About a millionth: float32 products agree to that.
SIMILARITY_ROUNDER = rounder(20)
# About a billionth.
SCORE_ROUNDER = rounder(30)


def round_scores(scores: Floats) -> Floats:
    """Round scores in [-2**21, 2**21] in place and return them."""
    scores += SCORE_ROUNDER
    scores -= SCORE_ROUNDER
    return scores


def round_similarities(products: NDArray[np.floating]) -> Floats:
    """Return rounded cosines, or log-odds, as a new array of float64, shape as given."""
    similarities = products.astype(np.float64)
    similarities += SIMILARITY_ROUNDER
    similarities -= SIMILARITY_ROUNDER
    return similarities

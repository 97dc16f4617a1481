"""A vector as pgvector reads it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def text_of(vector: NDArray[np.float32]) -> str:
    """Write a vector in brackets, each number to its last digit."""
    return "[" + ",".join(map(repr, vector.tolist())) + "]"

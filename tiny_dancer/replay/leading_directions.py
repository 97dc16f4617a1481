"""The directions in which embeddings vary most, found by a few products with random vectors.

A reward model needs little of an embedding, and its cost grows with the cube of what it gets.

Source: Halko, Martinsson, Tropp, Finding Structure with Randomness, SIAM Review 2011, algorithm
4.4 with one power iteration.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]

# More random directions than are kept, so that the kept ones are near the true ones.
OVERSAMPLING = 8


def leading_directions(rows: Matrix, count: int, *, seed: int = 0) -> Matrix:
    """Return orthonormal directions, float32 [d, min(count, n, d)].

    Args:
        rows: float32 [n, d], n ≥ 1.
        count: how many to keep.
        seed: of the random directions.
    """
    n, d = rows.shape
    most = min(count, n, d)
    if most == d:
        return np.eye(d, dtype=np.float32)
    width = min(most + OVERSAMPLING, n, d)
    generator = np.random.default_rng(seed)
    sketch = rows @ generator.standard_normal((d, width)).astype(np.float32)
    basis = np.linalg.qr(rows.T @ sketch)[0]
    basis = np.linalg.qr(rows @ basis)[0]
    directions = np.linalg.svd(basis.T @ rows, full_matrices=False)[2]
    return np.ascontiguousarray(directions[:most].T)

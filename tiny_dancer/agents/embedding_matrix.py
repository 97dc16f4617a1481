"""The embeddings of all agents as one matrix, laid out for its product with a request.

Where the matrix is larger than a core's own cache, memory decides how long a product takes, and
going through it column by column takes two thirds of the time of going row by row. Where it is
small, rows are as fast or faster.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]
Positions = NDArray[np.intp]

# Bytes from which columns are the better order; measured with 384 and 768 dimensions.
COLUMNS_FROM = 1 << 21
# Rows that are put into another order at once: they stay in the processor's cache meanwhile.
BLOCK_ROWS = 32


def stack(vectors: Sequence[Matrix | None], dimension: int | None) -> Matrix:
    """Return vectors as rows [n, d], zeros where there is none.

    Args:
        vectors: each of shape [d].
        dimension: d where all of them are None.
    """
    first = next((v for v in vectors if v is not None), None)
    length = len(first) if first is not None else (dimension or 0)
    stacked = np.zeros((len(vectors), length), dtype=np.float32)
    for row, vector in zip(stacked, vectors, strict=True):
        if vector is not None:
            row[:] = vector
    return stacked


def laid_out(matrix: Matrix) -> Matrix:
    """Return the same matrix in the order in memory that its products are fastest with."""
    if matrix.nbytes < COLUMNS_FROM:
        return np.ascontiguousarray(matrix)
    if matrix.flags.f_contiguous:
        return matrix
    columns = np.empty(matrix.shape, dtype=np.float32, order="F")
    # Block by block it takes NumPy half the time.
    for start in range(0, len(matrix), BLOCK_ROWS):
        columns[start : start + BLOCK_ROWS] = matrix[start : start + BLOCK_ROWS]
    return columns


def distinct_rows(matrix: Matrix) -> tuple[Matrix, Positions | None]:
    """Return the different rows in order of appearance, and for each row which one it is.

    The second is None where all are different; the first is the matrix itself then.
    """
    if not matrix.size:
        return matrix, None
    # Equal rows have equal sums of their bits, and other rows hardly ever do.
    bits = matrix.view(np.uint32)
    which = _numbered(bits.sum(axis=1, dtype=np.uint64).tolist())
    first = _first_of(which)
    if not _are_equal(bits, first[which]):
        which = _numbered([row.tobytes() for row in matrix])
        first = _first_of(which)
    if len(first) == len(matrix):
        return matrix, None
    return _rows_at(matrix, first), which


def _numbered(values: Sequence[Hashable]) -> Positions:
    """Return the number of each value, from 0 in order of appearance."""
    # Not np.unique: its first call imports numpy.ma, which takes longer than a first decision.
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in values], dtype=np.intp)


def _first_of(numbers: Positions) -> Positions:
    """Return where each number appears first."""
    first = np.empty(int(numbers.max()) + 1, dtype=np.intp)
    # The last to write is the first to appear.
    first[numbers[::-1]] = np.arange(len(numbers))[::-1]
    return first


def _are_equal(bits: NDArray[np.uint32], others: Positions) -> bool:
    """Whether each row equals the one at another position."""
    moved = np.flatnonzero(others != np.arange(len(others)))
    return np.array_equal(_rows_at(bits, moved), _rows_at(bits, others[moved]))


def _rows_at(matrix: NDArray[Any], positions: Positions) -> NDArray[Any]:
    """Return some rows of a matrix, in the order in memory that it has."""
    if matrix.flags.c_contiguous:
        return matrix[positions]
    return matrix.T[:, positions].T

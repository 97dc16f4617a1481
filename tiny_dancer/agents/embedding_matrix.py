"""The embeddings of all agents as one matrix, laid out for its product with a request.

Where the matrix is larger than a core's own cache, memory decides how long a product takes, and
going through it column by column takes two thirds of the time of going row by row. Where it is
small, rows are as fast or faster.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]

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
    if matrix.nbytes < COLUMNS_FROM or matrix.flags.f_contiguous:
        return matrix
    return _copied(matrix, np.empty(matrix.shape, dtype=np.float32, order="F"))


def distinct_rows(matrix: Matrix) -> tuple[Matrix, NDArray[np.intp] | None]:
    """Return the different rows in order of appearance, and for each row which one it is.

    The second is None where all are different; the first is the matrix itself then.
    """
    if not matrix.size:
        return matrix, None
    # Equal rows have equal sums of their bits: where no sum comes twice, no row does.
    bits = matrix.view(np.uint32)
    # Not np.unique: its first call imports numpy.ma, which takes longer than a first decision.
    if len(set(bits.sum(axis=1, dtype=np.uint64).tolist())) == len(matrix):
        return matrix, None
    rows = _by_rows(matrix)
    seen: dict[bytes, int] = {}
    which = [seen.setdefault(row.tobytes(), len(seen)) for row in rows]
    if len(seen) == len(matrix):
        return matrix, None
    # The last to write is the first to appear.
    first = np.empty(len(seen), dtype=np.intp)
    first[which[::-1]] = np.arange(len(rows))[::-1]
    return laid_out(rows[first]), np.array(which, dtype=np.intp)


def _by_rows(matrix: Matrix) -> Matrix:
    if matrix.flags.c_contiguous:
        return matrix
    return _copied(matrix, np.empty(matrix.shape, dtype=np.float32))


def _copied(matrix: Matrix, into: Matrix) -> Matrix:
    """Copy a matrix into one of another order, in half the time that NumPy takes for the whole."""
    for start in range(0, len(matrix), BLOCK_ROWS):
        into[start : start + BLOCK_ROWS] = matrix[start : start + BLOCK_ROWS]
    return into

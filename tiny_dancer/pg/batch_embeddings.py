"""The vectors that come with a batch: many of them in one piece of bytes, checked at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.pg.store import VECTOR_HEADER_BYTES, vector_from_bytes
from tiny_dancer.request import ORDINARY_LENGTHS, unit_vector

# Rows that are worked on at once: what is between two steps stays in the processor's cache.
BLOCK_ROWS = 256


class GivenVectors(NamedTuple):
    """The vectors of m requests.

    Attributes:
        vectors: float32 unit rows, shape [m, d]; what stands in the rows of errors means nothing.
        errors: from the place of a vector that can not be used to what is wrong with it.
    """

    vectors: NDArray[np.float32]
    errors: dict[int, str]


def read_vectors(sent: bytes, dimension: int) -> GivenVectors:
    """Return vectors of an array in the binary form of PostgreSQL, scaled to length 1.

    Args:
        sent: numbers are big-endian; 32 bits each for the array's dimensions, whether it has NULLs
            and its type, and two for each of its dimensions; then of each element how many bytes it
            has (-1 for a NULL) and these: two 16-bit numbers and 32-bit floats.
        dimension: that the vectors should have.
    """
    start = 12 + 8 * int.from_bytes(sent[:4])
    record = np.dtype(
        [
            ("size", ">i4"),
            ("header", ">u2", VECTOR_HEADER_BYTES // 2),
            ("elements", ">f4", dimension),
        ]
    )
    if (len(sent) - start) % record.itemsize == 0:
        records = np.frombuffer(sent, record, offset=start)
        if bool((records["size"] == record.itemsize - 4).all()):
            return _scaled(records["elements"])
    return _one_by_one(sent, start, dimension)


def _scaled(elements: NDArray[np.float32]) -> GivenVectors:
    vectors = np.empty(elements.shape, dtype=np.float32)
    errors: dict[int, str] = {}
    for start in range(0, len(vectors), BLOCK_ROWS):
        block = vectors[start : start + BLOCK_ROWS]
        block[:] = elements[start : start + BLOCK_ROWS]
        lengths = _lengths(block)
        is_ordinary = (lengths > ORDINARY_LENGTHS[0]) & (lengths < ORDINARY_LENGTHS[1])
        strange = np.flatnonzero(~is_ordinary)
        kept = block[strange]
        lengths[strange] = 1.0
        block /= lengths[:, None].astype(np.float32)
        for row, vector in zip(strange.tolist(), kept, strict=True):
            _put(vector, start + row, vectors, errors)
    return GivenVectors(vectors, errors)


def _lengths(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the lengths of rows, to the last bit as for one vector alone."""
    wide = vectors.astype(np.float64)
    squares = np.matmul(wide[:, None, :], wide[:, :, None])[:, 0, 0]
    lengths: NDArray[np.float64] = np.sqrt(squares)
    return lengths


def _one_by_one(sent: bytes, start: int, dimension: int) -> GivenVectors:
    pieces = list(_pieces(sent, start))
    vectors = np.zeros((len(pieces), dimension), dtype=np.float32)
    errors: dict[int, str] = {}
    for place, piece in enumerate(pieces):
        if piece is None:
            errors[place] = "embedding must not be NULL"
        else:
            _put(vector_from_bytes(piece), place, vectors, errors)
    return GivenVectors(vectors, errors)


def _pieces(sent: bytes, start: int) -> Iterator[bytes | None]:
    while start < len(sent):
        size = int.from_bytes(sent[start : start + 4], signed=True)
        start += 4
        yield None if size < 0 else sent[start : start + size]
        start += max(size, 0)


def _put(
    vector: NDArray[np.float32], place: int, vectors: NDArray[np.float32], errors: dict[int, str]
) -> None:
    """Put a vector that may be a bad one in its place, or note what is wrong with it."""
    try:
        vectors[place] = unit_vector(vector, dimension=vectors.shape[1], what="embedding")
    except InvalidArgumentError as error:
        errors[place] = error.message

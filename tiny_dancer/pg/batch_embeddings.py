"""The vectors that come with a batch: many of them in one piece of bytes, checked at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.pg.store import VECTOR_HEADER_BYTES
from tiny_dancer.pg.stored_array import StoredArray, length_word
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


def read_vectors(stored: bytes, dimension: int) -> GivenVectors:
    """Return vectors of an array as it is in the memory of the server, scaled to length 1.

    Args:
        stored: what tiny_dancer.vectors_as_stored() returns, see stored_array.
        dimension: that the vectors should have.
    """
    array = StoredArray.of(stored)
    record = np.dtype(
        [
            ("length", np.uint32),
            ("header", np.uint16, VECTOR_HEADER_BYTES // 2),
            ("elements", np.float32, dimension),
        ]
    )
    if array.present is None and len(stored) - array.start == array.size * record.itemsize:
        records = np.frombuffer(stored, record, offset=array.start)
        if bool((records["length"] == length_word(record.itemsize)).all()):
            return _scaled(records["elements"])
    return _one_by_one(stored, array, dimension)


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


def _one_by_one(stored: bytes, array: StoredArray, dimension: int) -> GivenVectors:
    vectors = np.zeros((array.size, dimension), dtype=np.float32)
    errors: dict[int, str] = {}
    for place, vector in enumerate(array.elements(stored)):
        if vector is None:
            errors[place] = "embedding must not be NULL"
        else:
            _put(vector, place, vectors, errors)
    return GivenVectors(vectors, errors)


def _put(
    vector: NDArray[np.float32], place: int, vectors: NDArray[np.float32], errors: dict[int, str]
) -> None:
    """Put a vector that may be a bad one in its place, or note what is wrong with it."""
    try:
        vectors[place] = unit_vector(vector, dimension=vectors.shape[1], what="embedding")
    except InvalidArgumentError as error:
        errors[place] = error.message

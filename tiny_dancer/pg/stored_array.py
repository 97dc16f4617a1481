"""An array of vectors or of numbers as PostgreSQL has it in memory (src/include/utils/array.h).

It is 32-bit numbers in the machine's order: its length, which is not sent; the number of its
dimensions; from where its elements start, the length counted, or 0 where it has no NULLs; its type;
the size of each dimension, and the lower bound of each. With NULLs a bit follows for each element,
set where it is there. Of a NULL there is nothing else; any other vector is its length, two 16-bit
numbers and 32-bit floats, any other number a 32-bit float. All of them start at a multiple of four
bytes.
"""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.pg.store import VECTOR_HEADER_BYTES

# What stands before an array and before each of its elements.
LENGTH_BYTES = 4
HEAD_BYTES = 12
MAX_DIMENSIONS = 6
# How an array of one dimension and without NULLs starts, whose elements are 32-bit floats.
FLOAT4_TYPE = 700
FLAT_NUMBERS = struct.pack("=iiI", 1, 0, FLOAT4_TYPE)


class StoredArray(NamedTuple):
    """Where the elements of an array of vectors are in its bytes.

    Attributes:
        size: how many elements.
        start: of the first of them, in bytes.
        present: which are no NULLs, [size]; None where all are.
    """

    size: int
    start: int
    present: NDArray[np.bool_] | None

    @classmethod
    def of(cls, stored: bytes) -> StoredArray:
        """Return what the head of an array says.

        Raises:
            InvalidArgumentError: the bytes are none of an array.
        """
        dimensions, start, _ = np.frombuffer(stored.ljust(HEAD_BYTES), np.int32, 3).tolist()
        head = HEAD_BYTES + 8 * dimensions
        if not 0 <= dimensions <= MAX_DIMENSIONS or len(stored) < head:
            raise _no_array()
        sizes = np.frombuffer(stored, np.int32, dimensions, offset=HEAD_BYTES).tolist()
        count = math.prod(sizes) if sizes else 0
        # A NULL takes a bit, everything else more.
        if not 0 <= count <= 8 * (len(stored) - head):
            raise _no_array()
        if not start:
            return cls(count, head, None)
        bits = np.frombuffer(stored[head : head + (count + 7) // 8], np.uint8)
        present = np.unpackbits(bits, count=count, bitorder="little").astype(bool)
        return cls(count, start - LENGTH_BYTES, present)

    def elements(self, stored: bytes) -> Iterator[NDArray[np.float32] | None]:
        """Yield the vectors one after the other, None for a NULL."""
        place = self.start
        for is_present in [True] * self.size if self.present is None else self.present.tolist():
            if not is_present:
                yield None
                continue
            start = place + LENGTH_BYTES + VECTOR_HEADER_BYTES
            place += _length_of(stored[place : place + LENGTH_BYTES])
            yield np.frombuffer(stored[start:place], np.float32)


def stored_numbers(stored: bytes) -> NDArray[np.float32]:
    """Return a flat array of 32-bit floats, read-only; an empty one of whatever else it is.

    Args:
        stored: what tiny_dancer.numbers_as_stored() returns.
    """
    start, end = HEAD_BYTES + 8, len(stored)
    if not stored.startswith(FLAT_NUMBERS):
        # One from which a NULL was taken away may still say of each element that it is there.
        start, end = _numbers_behind_bits(stored)
    if not start < end <= len(stored) or (end - start) % 4:
        return np.empty(0, np.float32)
    return np.frombuffer(stored[:end], np.float32, offset=start)


def _numbers_behind_bits(stored: bytes) -> tuple[int, int]:
    """Return where the numbers of a flat array start and end; nowhere if one is missing."""
    dimensions, _, kind = np.frombuffer(stored.ljust(HEAD_BYTES), np.int32, 3).tolist()
    if dimensions != 1 or kind != FLOAT4_TYPE:
        return 0, 0
    array = StoredArray.of(stored)
    if array.present is None or not array.present.all():
        return 0, 0
    return array.start, array.start + 4 * array.size


def _no_array() -> InvalidArgumentError:
    return InvalidArgumentError(
        "embeddings are not the bytes of an array",
        hint="Call ruvector_batch_route(), which takes vectors.",
    )


def length_word(length: int) -> int:
    """Return how PostgreSQL writes the length of a value: with two bits that say what follows."""
    return length << 2 if sys.byteorder == "little" else length


def _length_of(word: bytes) -> int:
    value = int.from_bytes(word, sys.byteorder)
    return value >> 2 if sys.byteorder == "little" else value

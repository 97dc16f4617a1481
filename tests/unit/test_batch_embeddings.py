"""Vectors in one piece of bytes: good ones at once, bad ones each with what is wrong."""

import sys

import numpy as np
import pytest

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.pg.batch_embeddings import BLOCK_ROWS, read_vectors
from tiny_dancer.request import unit_vector

DIMENSION = 8


def stored(vectors):
    """An array of vectors as a server of this machine has it in memory, without its length."""
    elements = b"".join(map(stored_element, vectors))
    return array_head([vector is not None for vector in vectors]) + elements


def array_head(present):
    dimensions = [len(present), 1] if present else []
    if all(present):
        return np.array([len(dimensions) // 2, 0, 16_384, *dimensions], np.int32).tobytes()
    bits = np.packbits(present, bitorder="little").tobytes()
    # With its length, the head is filled up to a multiple of eight bytes.
    start = (4 + 12 + 8 + len(bits) + 7) // 8 * 8
    head = np.array([1, start, 16_384, *dimensions], np.int32).tobytes() + bits
    return head.ljust(start - 4, b"\0")


def stored_element(vector):
    if vector is None:
        return b""
    values = np.asarray(vector, dtype=np.float32).tobytes()
    length = 8 + len(values)
    word = length << 2 if sys.byteorder == "little" else length
    return np.uint32(word).tobytes() + np.array([len(vector), 0], np.uint16).tobytes() + values


def as_single_calls(vectors):
    """What a call with each vector alone makes of it."""
    found, errors = {}, {}
    for place, vector in enumerate(vectors):
        try:
            found[place] = unit_vector(
                np.asarray(vector, dtype=np.float32).tolist(), dimension=DIMENSION, what="embedding"
            )
        except InvalidArgumentError as error:
            errors[place] = error.message
    return found, errors


@pytest.mark.parametrize("count", [0, 1, BLOCK_ROWS, BLOCK_ROWS + 1])
def test_rows_are_what_single_calls_make_of_them(count):
    vectors = np.random.default_rng(0).normal(size=(count, DIMENSION)) * 7
    given = read_vectors(stored(vectors), DIMENSION)
    wanted, _ = as_single_calls(vectors)
    assert given.errors == {}
    assert given.vectors.shape == (count, DIMENSION)
    for place, vector in wanted.items():
        np.testing.assert_array_equal(given.vectors[place], vector)


def test_bad_vectors_are_told_from_good_ones():
    good = np.arange(DIMENSION) + 1.0
    bad = [good * 0, good * np.inf, good * np.nan, good * 1e-30, good * 3e37]
    vectors = [good, *bad, good]
    given = read_vectors(stored(vectors), DIMENSION)
    wanted, errors = as_single_calls(vectors)
    assert given.errors == errors
    assert set(errors) == {1, 2, 3}
    for place, vector in wanted.items():
        np.testing.assert_array_equal(given.vectors[place], vector)


def test_nulls_and_other_dimensions_leave_the_others_alone():
    good = np.arange(DIMENSION) + 1.0
    vectors = [good, None, good[:3], good]
    given = read_vectors(stored(vectors), DIMENSION)
    assert given.errors == {
        1: "embedding must not be NULL",
        2: "embedding has 3 dimensions",
    }
    for place in (0, 3):
        np.testing.assert_allclose(given.vectors[place], good / np.linalg.norm(good), rtol=1e-6)


def test_vectors_of_another_dimension_that_fill_the_same_bytes_are_no_vectors():
    """Five records of 4 elements take as many bytes as three of 8."""
    given = read_vectors(stored([[1.0, 2.0, 3.0, 4.0]] * 5), DIMENSION)
    assert given.errors == dict.fromkeys(range(5), "embedding has 4 dimensions")


@pytest.mark.parametrize(
    "head",
    [
        [],
        [1],
        [-1, 0, 0],
        [7, 0, 0, *[1] * 14],
        [2**31 - 1, 0, 0],
        [1, 0, 0, 2**31 - 1, 1],
        [1, 32, 0, 2**31 - 1, 1],
        [1, 0, 0, -5, 1],
    ],
)
def test_bytes_that_are_no_array_are_refused(head):
    with pytest.raises(InvalidArgumentError, match="not the bytes of an array"):
        read_vectors(np.array(head, np.int32).tobytes(), DIMENSION)


def test_an_array_that_ends_early_gives_errors_and_no_more():
    whole = stored([np.arange(DIMENSION) + 1.0] * 3)
    given = read_vectors(whole[:-20], DIMENSION)
    assert given.errors == {2: "embedding has 3 dimensions"}

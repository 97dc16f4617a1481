"""An array of numbers as PostgreSQL has it in memory."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.pg.stored_array import FLAT_NUMBERS, stored_numbers

HEAD_WITH_BITS = np.array([1, 28, 700], np.int32).tobytes()


def stored(*shape, start=0, lower_bound=1):
    """Return 1, 2, 3, … in an array of this shape, without its length."""
    head = [len(shape), start, 700, *shape, *[lower_bound] * len(shape)]
    count = int(np.prod(shape)) if shape else 0
    return np.array(head, np.int32).tobytes() + np.arange(1, count + 1, dtype="f4").tobytes()


@pytest.mark.parametrize("count", [1, 2, 768, 16_000])
def test_a_flat_array_is_read(count):
    assert stored_numbers(stored(count)).tolist() == list(range(1, count + 1))


def test_the_first_index_does_not_matter():
    assert stored_numbers(stored(3, lower_bound=-5)).tolist() == [1.0, 2.0, 3.0]


def behind_bits(count, present, size=4):
    """The same numbers behind a bit for each that says whether it is there."""
    bits = np.packbits(present, bitorder="little").tobytes()
    head = np.array([1, 24 + size, 700, count, 1], np.int32).tobytes() + bits.ljust(size, b"\0")
    return head + np.arange(1, sum(present) + 1, dtype="f4").tobytes()


def test_bits_that_miss_nothing_do_not_matter():
    assert stored_numbers(behind_bits(5, [1] * 5)).tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert len(stored_numbers(behind_bits(384, [1] * 384, size=48))) == 384


@pytest.mark.parametrize(
    "other",
    [stored(), stored(2, 2), stored(2, start=32), b"", stored(3)[:15], stored(3)[:-1]],
    ids=["empty", "2-D", "bits cut off", "nothing", "a head alone", "cut short"],
)
def test_what_is_not_flat_has_no_numbers(other):
    assert stored_numbers(other).shape == (0,)


@pytest.mark.parametrize("present", [[1, 0, 1], [0, 0, 0]])
def test_with_a_null_it_has_no_numbers(present):
    assert stored_numbers(behind_bits(3, present)).shape == (0,)


@given(st.binary(max_size=64), st.sampled_from([b"", FLAT_NUMBERS, HEAD_WITH_BITS]))
def test_other_bytes_are_no_array_or_have_numbers_of_some_kind(rest, head):
    try:
        found = stored_numbers(head + rest)
    except InvalidArgumentError:
        return
    assert found.dtype == np.float32
    assert found.ndim == 1
